"""VERIFY.txt: how somebody who has nothing but the folder checks it, and what each check proves."""

from __future__ import annotations

from runbook_lib.evidence.bagit import SIGNATURE, STAMP, TAG_MANIFEST
from runbook_lib.evidence.signature import NAMESPACE
from runbook_lib.runs.record import Record

REHEARSAL = "rehearsal, not audit evidence"
"""The stamp on everything that comes from a cloud that Microsoft does not run."""


def instructions(record: Record, files: int, key: str, authority: str) -> str:
    """Return the text for a run with so many `files` in data, signed with `key` and stamped by `authority`, if any."""
    tenant, cloud = record.tenant, record.cloud
    names = {"signature": SIGNATURE, "stamp": STAMP, "tag_manifest": TAG_MANIFEST, "namespace": NAMESPACE}
    return VERIFY.format(
        run=f"{tenant['key']}/{record.run}",
        whose=" ".join(f"{tenant['name']} (tenant id {tenant['tenant_id']})".split()),
        stamp="" if cloud["microsoft"] else f"Cloud {cloud['name']}: {REHEARSAL}.\n",
        files=files,
        signature=SIGNED.format(key=key, **names) if key else UNSIGNED,
        stamp_words=(STAMPED if authority else UNSTAMPED).format(authority=authority, **names),
        proves=SIGNED_PROVES if key else UNSIGNED_PROVES,
    )


VERIFY = """\
How to verify this folder
=========================

Run {run} of {whose}.
{stamp}
Nothing has to be installed. Open a terminal in this folder (the one that holds this file).

1. Is it the folder that was sealed?
   The seal is the SHA-256 of the file tagmanifest-sha256.txt. Compare it with the number in the change ticket:

     Linux      sha256sum tagmanifest-sha256.txt
     macOS      shasum -a 256 tagmanifest-sha256.txt
     Windows    certutil -hashfile tagmanifest-sha256.txt SHA256

2. Are the manifest and the files beside it unchanged?

     Linux      sha256sum -c tagmanifest-sha256.txt
     macOS      shasum -a 256 -c tagmanifest-sha256.txt

3. Is every file in data unchanged, and none missing?

     Linux      sha256sum -c manifest-sha256.txt
     macOS      shasum -a 256 -c manifest-sha256.txt

   Windows, steps 2 and 3 in PowerShell; it prints what differs, and nothing when all is well:

     foreach ($list in 'tagmanifest-sha256.txt', 'manifest-sha256.txt') {{
       Get-Content -Encoding UTF8 $list | ForEach-Object {{
         $hash, $path = $_ -split '  ', 2
         if ((Get-FileHash -Algorithm SHA256 -LiteralPath $path).Hash -ne $hash) {{ "DIFFERS  $path" }}
       }}
     }}

4. Was nothing added?
   The folder data holds {files} files, those below included: count them (find data -type f | wc -l).

All of it at once, with more words about what differs:

     runbook verify FOLDER         the program that made this folder; prints the seal as well
     bagit.py --validate FOLDER    the Library of Congress's tool (pip install bagit); the folder is a BagIt 1.0 bag,
                                   RFC 8493

{signature}
{stamp_words}
7. Is an earlier run missing?
   bag-info.txt notes, unless this was the first, the run of this tenant that was sealed before it (Previous-Run) and
   that run's seal (Previous-Seal): what step 1 prints in that run's folder. Its own bag-info.txt leads further back.

What this proves, and what it does not
--------------------------------------
Steps 2 to 4 alone prove only that nothing was changed by accident, or by somebody who did not calculate the hashes
again. That nothing at all was changed since the sealing is proved by step 1, if the seal was kept where whoever holds
this folder could not change it: the change ticket, a mail, a printed page. {proves}
"""

SIGNED = """\
5. Who signed it?
   It is signed with the SSH key {key}.
   Write one line into a file allowed_signers: a name, then that person's public key as he himself gave it to you:

     dana@contoso.com ssh-ed25519 AAAA...

   Then, in bash (whoever is named after -I must be the name in that line):

     ssh-keygen -Y verify -f allowed_signers -I dana@contoso.com -n {namespace} \\
       -s {signature} < {tag_manifest}
"""
SIGNED_PROVES = """\
Step 5 proves it without that number, and
that the holder of the key made the seal; it proves nothing if the key came to you together with this folder."""

UNSIGNED = """\
5. Who signed it?
   Nobody: this folder is NOT SIGNED.
"""
UNSIGNED_PROVES = "Who\nmade the folder is not proved by it."

STAMPED = """\
6. When was it sealed?
   {authority} was asked for a time stamp (RFC 3161). If it gave one, it is {stamp}; if there is
   no such file, there is no time stamp, and only the computer that sealed it says when. Get the certificate of the
   authority from the authority itself, then:

     openssl ts -verify -in {stamp} -data {tag_manifest} -CAfile authority.pem
     openssl ts -reply -in {stamp} -text

   One that was added later says only that the seal existed at its time.
"""

UNSTAMPED = """\
6. When was it sealed?
   bag-info.txt says when, by the clock of the computer that sealed it. No authority was asked: there is NO TIME STAMP.
   If there is a file {stamp} all the same, it was added later, and says that the seal existed at
   its time; openssl ts -reply -in {stamp} -text shows which.
"""
