#requires -Version 5.1
# Takes back the assignment and the scope of the limiting script; Cronofy's service principal in Exchange stays, it grants nothing.
# Without -Apply nothing is changed: it says what it would do.
[CmdletBinding()]
param([switch] $Apply)

#SETTINGS#

$ErrorActionPreference = 'Stop'

#COMMON#

$dry = @{ WhatIf = -not $Apply; Confirm = $false }
$assignments = @(Get-ManagementRoleAssignment | Where-Object { "$($_.Name)" -eq $Settings.assignment_name })
foreach ($assignment in $assignments) { Remove-ManagementRoleAssignment -Identity "$($assignment.Name)" @dry }
$scopes = @(Get-ManagementScope | Where-Object { "$($_.Name)" -eq $Settings.scope_name })
foreach ($scope in $scopes) { Remove-ManagementScope -Identity "$($scope.Name)" @dry }
Write-Host "Tenant $($Settings.tenant_id): $($assignments.Count) assignments and $($scopes.Count) scopes $(if ($Apply) { 'removed' } else { 'to remove; -Apply removes them' })."
