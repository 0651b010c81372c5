$done = [System.Collections.ArrayList]::new()
$left = [System.Collections.ArrayList]::new()

function Invoke-Change([string] $What, [scriptblock] $Change) {
    # Makes one change, or without -Apply says what it would be. What is refused does not stop the rest, and is named at the end.
    if (-not $Apply) { Write-Host "  Would: $What"; return }
    try {
        & $Change | Out-Null
        [void] $done.Add($What)
        Write-Host "  Done: $What"
    } catch {
        [void] $left.Add($What)
        Write-Warning "Not done: $($What): $("$_".Split('|')[-1])"
    }
}

function Write-End([string] $Effect) {
    # The last words tell what was really done, and what is left.
    if (-not $Apply) { Write-Host 'Nothing was changed; -Apply makes these changes.'; return }
    foreach ($what in $left) { Write-Host "  Left: $what" }
    if ($left.Count) { Write-Host "$($done.Count) changes made, $($left.Count) left: correct what the warnings say, or wait some minutes, then run this again."; exit 1 }
    if ($done.Count) { Write-Host "$($done.Count) changes made. $Effect" } else { Write-Host 'Everything is as it should be; nothing was changed.' }
}
