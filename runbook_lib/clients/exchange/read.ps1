#requires -Version 5.1
# Reads what Microsoft Graph cannot tell about the limit on Cronofy's access, and writes it to one JSON file.
# It changes nothing; roles that only read are enough (View-Only Organization Management, and one with Get-ServicePrincipal). Run it in Windows PowerShell 5.1 or PowerShell 7:
#     powershell -ExecutionPolicy Bypass -File THIS_FILE
# Give the JSON file back to the runbook: beside the tenant file in its folder "parameters".
[CmdletBinding()]
param([string] $Path = '')

#SETTINGS#

$ErrorActionPreference = 'Continue'
if (-not $Path) { $Path = Join-Path (Get-Location).Path $Settings.answer }
$Path = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Path)

#COMMON#

function Get-Now { return [datetime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ssZ', [cultureinfo]::InvariantCulture) }

function Read-Section([string] $Name, [scriptblock] $Ask) {
    # What one question brought, and every error it met on the way.
    Write-Host "  $Name"
    $rows = [System.Collections.ArrayList]::new()
    $errors = [System.Collections.ArrayList]::new()
    try {
        & $Ask 2>&1 | ForEach-Object {
            if ($_ -is [System.Management.Automation.ErrorRecord]) { [void] $errors.Add("$_") } else { [void] $rows.Add($_) }
        }
    } catch { [void] $errors.Add("$_") }
    $Answer.sections[$Name] = [ordered]@{ rows = $rows; errors = $errors }
}

$Answer = [ordered]@{
    schema    = $Settings.schema
    tenant_id = $Settings.tenant_id
    app_id    = $Settings.app_id
    script    = $Settings.script
    by        = "$($connection[0].UserPrincipalName)"
    powershell = "$($PSVersionTable.PSVersion)"
    module    = "$((Get-Module ExchangeOnlineManagement | Select-Object -First 1).Version)"
    started   = Get-Now
    sections  = [ordered]@{}
}
Write-Host "Tenant $($Settings.tenant_id), application $($Settings.app_id). Reading:"

Read-Section 'organization' {
    $kept = Get-Kept (Get-OrganizationConfig) @('Ews*')
    $apps = Get-One { Get-OrganizationConfig -RetrieveEwsOperationAccessPolicy }   # the list of apps comes only when asked for
    $kept.Remove('EwsAllowedAppIDs')
    $list = Get-Kept $apps.found @('EwsAllowedAppIDs')
    foreach ($name in @($list.Keys)) { $kept[$name] = $list[$name] }
    $kept
    if ($apps.error) { Write-Error $apps.error }
}

Read-Section 'policies' {
    Get-Policies |
        Where-Object { "$($_.AppId)" -eq '*' -or $Settings.apps -contains "$($_.AppId)" } |
        ForEach-Object { Get-Kept $_ @('*') }
}

Read-Section 'group' {
    if ($Settings.group) {
        Find-Address $Settings.group | ForEach-Object {
            $row = Get-Kept $_ @('Name', 'DisplayName', 'RecipientTypeDetails', 'ExternalDirectoryObjectId', 'DistinguishedName', 'When*UTC')
            $row['mailbox'] = Get-Address $_
            $row
        }
    }
}

Read-Section 'members' {
    $waiting = [System.Collections.Queue]::new()
    $visited = @{}
    if (@($Answer.sections['group'].rows).Count) { $waiting.Enqueue($Settings.group) }
    while ($waiting.Count) {
        $via = "$($waiting.Dequeue())"
        if ($visited.ContainsKey($via)) { continue }
        $visited[$via] = $true
        Get-DistributionGroupMember -Identity $via -ResultSize Unlimited | ForEach-Object {
            $row = Get-Kept $_ @('Name', 'RecipientTypeDetails')
            $row['mailbox'] = Get-Address $_
            $row['via'] = $via
            $row
            if ("$($_.RecipientTypeDetails)" -like '*Group' -or "$($_.RecipientTypeDetails)" -eq 'RoomList') { $waiting.Enqueue($row['mailbox']) }
        }
    }
}

Read-Section 'service_principals' {
    Get-ServicePrincipal | Where-Object { $Settings.apps -contains "$($_.AppId)" } |
        ForEach-Object { Get-Kept $_ @('AppId', 'ObjectId', 'DisplayName', 'When*UTC') }
}

Read-Section 'assignments' {
    foreach ($principal in @($Answer.sections['service_principals'].rows)) {
        Get-ManagementRoleAssignment -RoleAssignee $principal['ObjectId'] |
            Where-Object { "$($_.RoleAssigneeType)" -eq 'ServicePrincipal' } |
            ForEach-Object {
                $row = Get-Kept $_ @('Name', 'Role', 'RoleAssignee*', 'Custom*Scope', 'Recipient*Scope', 'Enabled', 'When*UTC')
                $row['app_id'] = $principal['AppId']
                $row
            }
    }
}

Read-Section 'scopes' {
    $names = @($Answer.sections['assignments'].rows | ForEach-Object { $_['CustomResourceScope'] } | Where-Object { $_ })
    if ($names.Count) {
        Get-ManagementScope | Where-Object { $names -contains "$($_.Name)" } |
            ForEach-Object { Get-Kept $_ @('Name', 'RecipientFilter', 'ScopeRestrictionType', 'Exclusive', 'When*UTC') }
    }
}

Read-Section 'rooms' {
    $about = @('DisplayName', 'EmailAddresses', 'HiddenFromAddressListsEnabled', 'ResourceType', 'ResourceCapacity', 'ResourceCustom', 'RoomMailboxAccountEnabled')
    $rules = @(
        'AutomateProcessing', 'AllowConflicts', 'AllowRecurringMeetings', 'BookingWindowInDays', 'MaximumDurationInMinutes',
        'EnforceSchedulingHorizon', 'ConflictPercentageAllowed', 'MaximumConflictInstances', 'ScheduleOnlyDuringWorkHours',
        'AllBookInPolicy', 'AllRequestInPolicy', 'AllRequestOutOfPolicy', 'BookInPolicy', 'RequestInPolicy', 'RequestOutOfPolicy',
        'ResourceDelegates', 'ForwardRequestsToDelegates', 'TentativePendingApproval', 'ProcessExternalMeetingMessages',
        'AddOrganizerToSubject', 'DeleteSubject', 'DeleteComments', 'DeleteAttachments', 'DeleteNonCalendarItems', 'RemovePrivateProperty',
        'RemoveOldMeetingMessages', 'RemoveForwardedMeetingNotifications', 'RemoveCanceledMeetings', 'OrganizerInfo', 'EnableAutoRelease'
    )
    Get-EXOMailbox -RecipientTypeDetails RoomMailbox -ResultSize Unlimited -PropertySets @('Minimum', 'AddressList', 'Resource') | ForEach-Object {
        $row = Get-Kept $_ $about
        $row['mailbox'] = Get-Address $_
        $processing = Get-One { Get-CalendarProcessing -Identity $row['mailbox'] }
        $row['processing'] = Get-Kept $processing.found $rules
        $row['error'] = $processing.error
        $row
    }
}

$rooms = @($Answer.sections['rooms'].rows | ForEach-Object { $_['mailbox'] })
$named = @(@($Settings.rooms) + @($Settings.outsiders) + @($Settings.pilots) + @($Settings.ews_accounts) | Where-Object { $_ } | Sort-Object -Unique)
$tested = @($rooms + @($Settings.rooms) + @($Settings.outsiders) + @($Settings.pilots) | Where-Object { $_ } | Sort-Object -Unique)

Read-Section 'recipients' {
    foreach ($address in $named) {
        $recipient = Get-One { Find-Address $address }
        $row = Get-Kept $recipient.found @('DisplayName', 'RecipientType', 'RecipientTypeDetails', 'HiddenFromAddressListsEnabled')
        $row['mailbox'] = $address
        $row['found'] = ($null -ne $recipient.found)
        $row['error'] = $recipient.error
        $row
    }
}

Read-Section 'tests' {
    $count = 0
    foreach ($address in $tested) {
        $count++
        Write-Progress -Activity 'Test-ApplicationAccessPolicy' -Status $address -PercentComplete (100 * $count / $tested.Count)
        $test = Get-One { Test-ApplicationAccessPolicy -Identity $address -AppId $Settings.app_id }
        [ordered]@{ mailbox = $address; answer = (Get-Kept $test.found @('*')); error = $test.error }
    }
    Write-Progress -Activity 'Test-ApplicationAccessPolicy' -Completed
}

Read-Section 'authorizations' {
    # What RBAC for Applications gives, as Exchange itself works it out; grants made in Entra are not in it.
    $columns = @('RoleName', 'GrantedPermissions', 'AllowedResourceScope', 'ScopeType', 'InScope')
    if (@($Answer.sections['service_principals'].rows | Where-Object { $_['AppId'] -eq $Settings.app_id }).Count) {
        Test-ServicePrincipalAuthorization -Identity $Settings.app_id | ForEach-Object {
            $row = Get-Kept $_ $columns
            $row['mailbox'] = ''
            $row
        }
        foreach ($address in $tested) {
            Test-ServicePrincipalAuthorization -Identity $Settings.app_id -Resource $address | ForEach-Object {
                $row = Get-Kept $_ $columns
                $row['mailbox'] = $address
                $row
            }
        }
    }
}

Read-Section 'impersonation' {
    $roles = @(Get-ManagementRole)
    [ordered]@{ roles_seen = $roles.Count; role_exists = (@($roles | Where-Object { "$($_.Name)" -eq 'ApplicationImpersonation' }).Count -gt 0) }
}

Read-Section 'impersonators' {
    if (@($Answer.sections['impersonation'].rows | Where-Object { $_['role_exists'] }).Count) {
        Get-ManagementRoleAssignment -Role 'ApplicationImpersonation' -Delegating $false -GetEffectiveUsers |
            Where-Object { "$($_.Role)" -eq 'ApplicationImpersonation' } |
            ForEach-Object { Get-Kept $_ @('Name', 'Role', 'RoleAssigneeName', 'RoleAssigneeType', 'EffectiveUserName', 'CustomRecipientWriteScope', 'Enabled') }
    }
}

Read-Section 'accounts' {
    foreach ($address in @($Settings.ews_accounts)) {
        $quoted = $address.Replace("'", "''")
        $user = Get-One { Get-User -Filter "UserPrincipalName -eq '$quoted'" }
        $row = Get-Kept $user.found @('DisplayName', 'AccountDisabled', 'RecipientTypeDetails')
        $row['account'] = $address
        $row['found'] = ($null -ne $user.found)
        $row['error'] = $user.error
        if ("$($user.found.RecipientTypeDetails)" -like '*Mailbox') {
            $protocols = Get-One { Get-CASMailbox -Identity $address }
            if ($protocols.found) { $row['EwsEnabled'] = Get-Plain $protocols.found.EwsEnabled }
        }
        $row
    }
}

Read-Section 'mailboxes' {
    Get-EXOMailbox -ResultSize Unlimited -PropertySets Minimum | Group-Object -Property RecipientTypeDetails -NoElement |
        ForEach-Object { [ordered]@{ type = "$($_.Name)"; count = [int] $_.Count } }
}

$Answer['finished'] = Get-Now
$Answer['complete'] = $true
$json = ConvertTo-Json -InputObject $Answer -Depth 8
[System.IO.File]::WriteAllText($Path, $json, [System.Text.UTF8Encoding]::new($false))

$failed = @($Answer.sections.Keys | Where-Object { $Answer.sections[$_].errors.Count })
foreach ($name in $failed) { Write-Warning "$($name): $($Answer.sections[$name].errors[0])" }
Write-Host "Written: $Path. Nothing was changed. Put the file beside the tenant file of the runbook as $($Settings.answer)."
