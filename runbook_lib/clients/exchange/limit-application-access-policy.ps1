#requires -Version 5.1
# Limits Cronofy to one group of mailboxes with an application access policy: the group, the rooms in it, the policy.
# Without -Apply nothing is changed: it says what it would do. With -Apply it does what is still missing; run it as often as you like.
[CmdletBinding()]
param([switch] $Apply)

#SETTINGS#

$ErrorActionPreference = 'Stop'
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' } # reaches the functions of a module too, from a window as well as with -File

#COMMON#

#CHANGES#

Write-Host "Tenant $($Settings.tenant_id). $(if ($Apply) { 'Changing' } else { 'Only looking' }):"

$policies = @(Get-Policies | Where-Object { "$($_.AppId)" -eq $Settings.app_id })
foreach ($policy in $policies) { Write-Host "  Policy: $($policy.AccessRight) for $($policy.ScopeName)" }
$group = @(Find-Address $Settings.group)
if ($group.Count -gt 1) { throw "$($Settings.group) is the address of several recipients." }
if ($group.Count -and "$($group[0].RecipientTypeDetails)" -ne 'MailUniversalSecurityGroup') {
    throw "$($Settings.group) is a $($group[0].RecipientTypeDetails). The policy needs a mail-enabled security group made in Exchange."
}
if (-not $group.Count) {
    Invoke-Change "make the security group $($Settings.group)" {
        New-DistributionGroup -Name $Settings.group_name -Type Security -PrimarySmtpAddress $Settings.group -MemberDepartRestriction Closed -MemberJoinRestriction Closed
    }
    for ($try = 0; $done.Count -and -not $group.Count -and $try -lt 12; $try++) {
        if ($try) { Start-Sleep -Seconds 5 } # Exchange finds a new group only after a while
        $group = @(Find-Address $Settings.group)
    }
    if ($done.Count -and -not $group.Count) { [void] $left.Add('the members and the policy: Exchange does not find the new group yet') }
}

$pilots = @($Settings.pilots | ForEach-Object { $found = @(Find-Address $_); if ($found.Count -eq 1) { Get-Address $found[0] } else { $_ } })
$wanted = @(Get-EXOMailbox -RecipientTypeDetails RoomMailbox -ResultSize Unlimited | ForEach-Object { Get-Address $_ }) + $pilots
function Get-Inside { @(Get-DistributionGroupMember -Identity $Settings.group -ResultSize Unlimited | ForEach-Object { Get-Address $_ }) }
$inside = @()
if ($group.Count) { $inside = @(Get-Inside) }
$missing = @($wanted | Where-Object { $inside -notcontains $_ } | Sort-Object -Unique)
Write-Host "  $($missing.Count) of $($wanted.Count) mailboxes are not in the group yet."
if ($group.Count -and "$($group[0].IsDirSynced)" -eq 'True') {
    if ($missing.Count) { [void] $left.Add("$($missing.Count) members: the group is synchronised from on-premises, add them there") }
} elseif ($group.Count) {
    foreach ($address in $missing) {
        Invoke-Change "add $address to the group" {
            try { Add-DistributionGroupMember -Identity $Settings.group -Member $address -BypassSecurityGroupManagerCheck } catch {
                if (@(Get-Inside) -notcontains $address) { throw } # a member already is what was wanted
            }
        }
    }
}

function Get-There($List) {
    $id = "$($group[0].ExternalDirectoryObjectId)"
    if (-not $id) { throw 'the group has no object id in Entra yet' }
    @($List | Where-Object { "$($_.AccessRight)" -eq 'RestrictAccess' -and "$($_.ScopeIdentityRaw)".EndsWith(";$id") })
}
if (-not $group.Count) {
    Write-Host '  The policy follows once the group is there.'
} elseif ("$($group[0].ExternalDirectoryObjectId)" -and @(Get-There $policies).Count) {
    Write-Host '  The policy is in place.'
} else {
    Invoke-Change "restrict $($Settings.app_id) to the group" {
        [void] (Get-There @())
        try { New-ApplicationAccessPolicy -AppId $Settings.app_id -PolicyScopeGroupId $Settings.group -AccessRight RestrictAccess -Description 'Cronofy: rooms only' } catch {
            $said = $_
            if (-not @(Get-There @(Get-Policies | Where-Object { "$($_.AppId)" -eq $Settings.app_id })).Count) { throw $said } # there already
        }
    }
}
Write-End 'It can take more than an hour to work. Then run the reading script, and give its answer to the runbook.'
