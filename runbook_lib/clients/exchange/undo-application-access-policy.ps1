#requires -Version 5.1
# Takes back the application access policy of the limiting script. The group and its members stay: without a policy they do nothing.
# While Cronofy holds Calendars.ReadWrite in Entra, this opens every calendar of the tenant to it.
# Without -Apply nothing is changed: it says what it would do.
[CmdletBinding()]
param([switch] $Apply)

#SETTINGS#

$ErrorActionPreference = 'Stop'

#COMMON#

$dry = @{ WhatIf = -not $Apply; Confirm = $false }
$group = @(Find-Address $Settings.group)
if ($group.Count -ne 1) { throw "$($Settings.group) is the address of $($group.Count) recipients." }
$policies = @(Get-ApplicationAccessPolicy | Where-Object {
    "$($_.AppId)" -eq $Settings.app_id -and "$($_.AccessRight)" -eq 'RestrictAccess' -and "$($_.ScopeIdentityRaw)".EndsWith(";$($group[0].ExternalDirectoryObjectId)")
})
foreach ($policy in $policies) { Remove-ApplicationAccessPolicy -Identity $policy.Identity @dry }
Write-Host "Tenant $($Settings.tenant_id): $($policies.Count) policies $(if ($Apply) { 'removed' } else { 'to remove; -Apply removes them' })."
