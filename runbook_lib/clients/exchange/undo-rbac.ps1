#requires -Version 5.1
# Takes back the assignment and the scope of the limiting script; Cronofy's service principal in Exchange stays, it grants nothing.
# Without -Apply nothing is changed: it says what it would do.
[CmdletBinding()]
param([switch] $Apply)

#SETTINGS#

$ErrorActionPreference = 'Stop'
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' } # reaches the functions of a module too, from a window as well as with -File

#COMMON#

#CHANGES#

Write-Host "Tenant $($Settings.tenant_id). $(if ($Apply) { 'Changing' } else { 'Only looking' }):"

$assignments = @(Get-ManagementRoleAssignment | Where-Object { "$($_.Name)" -eq $Settings.assignment_name })
$scopes = @(Get-ManagementScope | Where-Object { "$($_.Name)" -eq $Settings.scope_name })
foreach ($one in $assignments) {
    Invoke-Change "remove the assignment $($one.Name)" { Remove-ManagementRoleAssignment -Identity "$($one.Name)" -Confirm:$false }
}
foreach ($scope in $scopes) {
    Invoke-Change "remove the scope $($scope.Name)" {
        if ($left.Count) { throw 'an assignment still uses it' }
        Remove-ManagementScope -Identity "$($scope.Name)" -Confirm:$false
    }
}
if (-not ($assignments.Count + $scopes.Count)) { Write-Host '  There is nothing of the runbook to take back.' }
Write-End 'Cronofy reaches no calendar through RBAC any more, within two hours.'
