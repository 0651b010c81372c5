#requires -Version 5.1
# Takes back the application access policy of the limiting script. The group and its members stay: without a policy they do nothing.
# While Cronofy holds Calendars.ReadWrite in Entra, this opens every calendar of the tenant to it.
# Without -Apply nothing is changed: it says what it would do.
[CmdletBinding()]
param([switch] $Apply)

#SETTINGS#

$ErrorActionPreference = 'Stop'
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' } # reaches the functions of a module too, from a window as well as with -File

#COMMON#

#CHANGES#

Write-Host "Tenant $($Settings.tenant_id). $(if ($Apply) { 'Changing' } else { 'Only looking' }):"

$all = @(Get-Policies | Where-Object { "$($_.AppId)" -eq $Settings.app_id -and "$($_.AccessRight)" -eq 'RestrictAccess' })
$group = @(Find-Address $Settings.group)
$id = "$(if ($group.Count -eq 1) { $group[0].ExternalDirectoryObjectId })"
if ($all.Count -and -not $id) { throw "$($Settings.group) is the address of $($group.Count) recipients, so nobody can tell which policy is the runbook's." }
$policies = @($all | Where-Object { "$($_.ScopeIdentityRaw)".EndsWith(";$id") })
foreach ($policy in $policies) {
    Invoke-Change "remove the policy for $($policy.ScopeName)" { Remove-ApplicationAccessPolicy -Identity $policy.Identity -Confirm:$false }
}
if (-not $policies.Count) { Write-Host '  There is no policy of the runbook.' }
Write-End 'While Cronofy holds Calendars.ReadWrite in Entra, every calendar will be open to it within the hour.'
