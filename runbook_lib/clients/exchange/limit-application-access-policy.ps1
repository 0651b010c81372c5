#requires -Version 5.1
# Limits Cronofy to one group of mailboxes with an application access policy: the group, the rooms in it, the policy.
# Without -Apply nothing is changed: it says what it would do. With -Apply it does what is still missing; run it as often as you like.
[CmdletBinding()]
param([switch] $Apply)

#SETTINGS#

$ErrorActionPreference = 'Stop'

#COMMON#

$dry = @{ WhatIf = -not $Apply }
Write-Host "Tenant $($Settings.tenant_id). $(if ($Apply) { 'Changing' } else { 'Only looking; -Apply changes' }):"

$group = @(Find-Address $Settings.group)
if ($group.Count -gt 1) { throw "$($Settings.group) is the address of several recipients." }
if ($group.Count -and "$($group[0].RecipientTypeDetails)" -ne 'MailUniversalSecurityGroup') {
    throw "$($Settings.group) is a $($group[0].RecipientTypeDetails). The policy needs a mail-enabled security group made in Exchange."
}
if (-not $group.Count) {
    New-DistributionGroup -Name $Settings.group_name -Type Security -PrimarySmtpAddress $Settings.group -MemberDepartRestriction Closed -MemberJoinRestriction Closed @dry | Out-Null
    if ($Apply) { $group = @(Find-Address $Settings.group) }
}

$wanted = @(Get-EXOMailbox -RecipientTypeDetails RoomMailbox -ResultSize Unlimited | ForEach-Object { Get-Address $_ }) + @($Settings.pilots)
$inside = @()
if ($group.Count) { $inside = @(Get-DistributionGroupMember -Identity $Settings.group -ResultSize Unlimited | ForEach-Object { Get-Address $_ }) }
$missing = @($wanted | Where-Object { $inside -notcontains $_ } | Sort-Object -Unique)
Write-Host "  $($missing.Count) of $($wanted.Count) mailboxes are not in the group yet."
if ($group.Count) {
    foreach ($address in $missing) {
        Add-DistributionGroupMember -Identity $Settings.group -Member $address -BypassSecurityGroupManagerCheck @dry
    }
}

$policies = @(Get-ApplicationAccessPolicy | Where-Object { "$($_.AppId)" -eq $Settings.app_id })
$there = @($policies | Where-Object {
    $group.Count -and "$($_.AccessRight)" -eq 'RestrictAccess' -and "$($_.ScopeIdentityRaw)".EndsWith(";$($group[0].ExternalDirectoryObjectId)")
})
foreach ($policy in $policies) { Write-Host "  Policy: $($policy.AccessRight) for $($policy.ScopeName)" }
if ($there.Count) {
    Write-Host '  The policy is in place.'
} elseif ($group.Count) {
    New-ApplicationAccessPolicy -AppId $Settings.app_id -PolicyScopeGroupId $Settings.group -AccessRight RestrictAccess -Description 'Cronofy: rooms only' @dry | Out-Null
} else {
    Write-Host '  The policy follows once the group is there.'
}
Write-Host 'It can take more than an hour to work. Then run the reading script, and give its answer to the runbook.'
