#requires -Version 5.1
# Gives Cronofy the calendars of one group through RBAC for Applications: its service principal in Exchange, the scope, the assignment.
# It limits nothing as long as Calendars.ReadWrite stands in Entra as well: the two add up. Remove that grant by hand afterwards.
# Only direct members of the group count. Without -Apply nothing is changed: it says what it would do.
[CmdletBinding()]
param([switch] $Apply)

#SETTINGS#

$ErrorActionPreference = 'Stop'

#COMMON#

$dry = @{ WhatIf = -not $Apply }
Write-Host "Tenant $($Settings.tenant_id). $(if ($Apply) { 'Changing' } else { 'Only looking; -Apply changes' }):"

$group = @(Find-Address $Settings.group)
if ($group.Count -ne 1) { throw "$($Settings.group) is the address of $($group.Count) recipients. Make the group first." }
$nested = @(Get-DistributionGroupMember -Identity $Settings.group -ResultSize Unlimited | Where-Object { "$($_.RecipientTypeDetails)" -like '*Group' })
foreach ($one in $nested) { Write-Warning "Members of the nested group $($one.Name) are not in the scope." }

if (-not @(Get-ServicePrincipal | Where-Object { "$($_.AppId)" -eq $Settings.app_id }).Count) {
    New-ServicePrincipal -AppId $Settings.app_id -ObjectId $Settings.object_id -DisplayName $Settings.app_name @dry | Out-Null
}
if (-not @(Get-ManagementScope | Where-Object { "$($_.Name)" -eq $Settings.scope_name }).Count) {
    $quoted = "$($group[0].DistinguishedName)".Replace("'", "''")
    New-ManagementScope -Name $Settings.scope_name -RecipientRestrictionFilter "MemberOfGroup -eq '$quoted'" @dry | Out-Null
}
if (-not @(Get-ManagementRoleAssignment | Where-Object { "$($_.Name)" -eq $Settings.assignment_name }).Count) {
    New-ManagementRoleAssignment -Name $Settings.assignment_name -App $Settings.object_id -Role 'Application Calendars.ReadWrite' -CustomResourceScope $Settings.scope_name @dry | Out-Null
}
Write-Host 'It can take up to two hours to work. Then run the reading script, and give its answer to the runbook.'
