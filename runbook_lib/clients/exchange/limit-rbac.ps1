#requires -Version 5.1
# Gives Cronofy the calendars of one group through RBAC for Applications: its service principal in Exchange, the scope, the assignment.
# It limits nothing as long as Calendars.ReadWrite stands in Entra as well: the two add up. Remove that grant by hand afterwards.
# Only direct members of the group count. Without -Apply nothing is changed: it says what it would do.
[CmdletBinding()]
param([switch] $Apply)

#SETTINGS#

$ErrorActionPreference = 'Stop'
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' } # reaches the functions of a module too, from a window as well as with -File

#COMMON#

#CHANGES#

function Get-Normal([string] $Filter) {
    # Exchange writes a filter back with parentheses, blanks and letter case of its own.
    $said = ($Filter -replace '\s+', ' ').Trim().ToLowerInvariant()
    while ($said.StartsWith('(') -and $said.EndsWith(')')) { $said = $said.Substring(1, $said.Length - 2).Trim() }
    return $said
}

Write-Host "Tenant $($Settings.tenant_id). $(if ($Apply) { 'Changing' } else { 'Only looking' }):"

if ("$((Get-OrganizationConfig).IsDehydrated)" -eq 'True') {
    throw 'This organization was never customized, so Exchange refuses scopes: an administrator has to run Enable-OrganizationCustomization once, which cannot be undone, and to wait some hours.'
}
$group = @(Find-Address $Settings.group)
if ($group.Count -ne 1) { throw "$($Settings.group) is the address of $($group.Count) recipients. Make the group first." }
$nested = @(Get-DistributionGroupMember -Identity $Settings.group -ResultSize Unlimited | Where-Object { "$($_.RecipientTypeDetails)" -like '*Group' })
foreach ($one in $nested) { Write-Warning "Members of the nested group $($one.Name) are not in the scope." }

$quoted = "$($group[0].DistinguishedName)".Replace("'", "''")
$filter = "MemberOfGroup -eq '$quoted'"
$principals = @(Get-ServicePrincipal | Where-Object { "$($_.AppId)" -eq $Settings.app_id })
$scopes = @(Get-ManagementScope | Where-Object { "$($_.Name)" -eq $Settings.scope_name })
$assignments = @(Get-ManagementRoleAssignment | Where-Object { "$($_.Name)" -eq $Settings.assignment_name })
foreach ($scope in $scopes) {
    if ((Get-Normal $scope.RecipientFilter) -ne (Get-Normal $filter)) { throw "The scope $($scope.Name) is there with another filter: $($scope.RecipientFilter). Remove or rename it first." }
}
foreach ($one in $assignments) {
    $whose = @("$($one.RoleAssignee)", "$($one.App)") | Where-Object { $_ }
    if ("$($one.Role)" -ne 'Application Calendars.ReadWrite' -or "$($one.CustomResourceScope)" -ne $Settings.scope_name -or "$($one.Enabled)" -eq 'False' -or ($whose -notcontains $Settings.object_id -and $whose -notcontains $Settings.app_id)) {
        throw "The assignment $($one.Name) is there with another role, scope or application, or is disabled. Remove or rename it first."
    }
}

if (-not $principals.Count) {
    Invoke-Change "make the application $($Settings.app_id) known to Exchange" {
        New-ServicePrincipal -AppId $Settings.app_id -ObjectId $Settings.object_id -DisplayName $Settings.app_name
    }
}
if (-not $scopes.Count) {
    Invoke-Change "make the scope $($Settings.scope_name)" {
        New-ManagementScope -Name $Settings.scope_name -RecipientRestrictionFilter $filter
    }
}
if (-not $assignments.Count) {
    Invoke-Change "assign the role Application Calendars.ReadWrite in that scope" {
        if ($left.Count) { throw 'the application or the scope is not there yet' }
        New-ManagementRoleAssignment -Name $Settings.assignment_name -App $Settings.object_id -Role 'Application Calendars.ReadWrite' -CustomResourceScope $Settings.scope_name
    }
}
Write-End 'It can take up to two hours to work. Then run the reading script, and give its answer to the runbook.'
