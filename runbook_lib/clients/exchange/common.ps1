function Get-Plain($Value) {
    # Text, numbers, yes and no, times in UTC, and lists of text: nothing that JSON spells differently from version to version.
    if ($null -eq $Value -or $Value -is [bool] -or $Value -is [int] -or $Value -is [long]) { return $Value }
    if ($Value -is [datetime]) {
        if ($Value.Kind -eq [DateTimeKind]::Unspecified) { $Value = [datetime]::SpecifyKind($Value, [DateTimeKind]::Utc) }
        return $Value.ToUniversalTime().ToString('yyyy-MM-ddTHH:mm:ssZ', [cultureinfo]::InvariantCulture)
    }
    if ($Value -is [System.Collections.IEnumerable] -and $Value -isnot [string]) {
        $list = [System.Collections.ArrayList]::new()
        foreach ($one in $Value) { [void] $list.Add("$one") }
        return , $list
    }
    return "$Value"
}

function Get-Kept($Thing, [string[]] $Names) {
    # The named properties of an object; a property that this tenant or module version lacks is left out.
    $kept = [ordered]@{}
    if ($null -eq $Thing) { return $kept }
    foreach ($property in $Thing.PSObject.Properties) {
        if (@($Names | Where-Object { $property.Name -like $_ }).Count) { $kept[$property.Name] = Get-Plain $property.Value }
    }
    return $kept
}

function Get-One([scriptblock] $Question) {
    # One object, or in `error` why not. Several objects are an error: some cmdlets answer a name they do not know with everything.
    $answers = [System.Collections.ArrayList]::new()
    $wrong = ''
    try {
        & $Question 2>&1 | ForEach-Object {
            if ($_ -is [System.Management.Automation.ErrorRecord]) { $wrong = "$_" } else { [void] $answers.Add($_) }
        }
    } catch { $wrong = "$_" }
    if (-not $wrong -and $answers.Count -gt 1) { $wrong = "$($answers.Count) objects answered to one name" }
    $found = $null
    if (-not $wrong -and $answers.Count -eq 1) { $found = $answers[0] }
    return @{ found = $found; error = $wrong }
}

function Find-Address([string] $Address) {
    # The recipient of an address, or nothing. A filter finds nothing without an error, and never answers with everything.
    $quoted = $Address.Replace("'", "''")
    Get-Recipient -Filter "EmailAddresses -eq 'smtp:$quoted'"
}

function Get-Address($Thing) {
    return "$($Thing.PrimarySmtpAddress)".ToLowerInvariant()
}

function Get-Policies {
    # Every application access policy. A tenant without any answers with an error, in the language of the session, about an object
    # whose quoted name ends in a backslash and a star; that is an empty list. Any other error stays one.
    $quote = '["\u0027\u2018-\u201F\u00AB\u00BB\u2039\u203A]'
    $none = $quote + '[^"\u0027\u2018-\u201F\u00AB\u00BB\u2039\u203A*]*\\\*\s*' + $quote
    try { Get-ApplicationAccessPolicy -ErrorAction Stop } catch {
        if ("$_".Split('|')[-1] -notmatch $none) { throw }
    }
}

function Get-Session {
    Get-ConnectionInformation | Where-Object { "$($_.State)" -eq 'Connected' -and -not $_.IsEopSession }
}

if (-not (Get-Command Connect-ExchangeOnline -ErrorAction SilentlyContinue)) {
    throw 'The module ExchangeOnlineManagement 3.0 or later is missing: Install-Module ExchangeOnlineManagement -Scope CurrentUser'
}
if (-not @(Get-Session).Count) { Connect-ExchangeOnline -ExchangeEnvironmentName $Settings.environment -ShowBanner:$false }
# A second session, of Security & Compliance for instance, answers in the place of Exchange to cmdlets that both have.
$others = @(Get-ConnectionInformation | Where-Object { "$($_.State)" -eq 'Connected' -and $_.IsEopSession })
if ($others.Count) { throw 'A connection to Security & Compliance is open beside Exchange: Disconnect-ExchangeOnline, then run this again.' }
$connection = @(Get-Session)
if ($connection.Count -ne 1) { throw 'There has to be exactly one Exchange Online connection: Disconnect-ExchangeOnline, then run this again.' }
if ("$($connection[0].TenantID)" -ne $Settings.tenant_id) {
    throw "This is tenant $($connection[0].TenantID), not $($Settings.tenant_id). Nothing was asked. Disconnect-ExchangeOnline, then sign in to the right one."
}
