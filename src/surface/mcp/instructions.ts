/** What a host tells its model about the tools. Hosts cut this off at about 2 KB. */
export const INSTRUCTIONS = `Pyro gives you workspaces: machines of your own on this computer, apart from it. Nothing you do inside touches the user's files until you export something by name. There is no network inside but loopback.

How to work:
1. workspace_create with environment "host" (this machine's own tools, read-only) and seed_path set to the project's directory: it is copied to /workspace. Give it a name; every tool takes the name or the id as workspace_id.
2. workspace_exec runs a command in /workspace. A list is run as it is; a string is run by /bin/sh -c. A failing command is a result with its exit_code, not an error. It answers within wait_ms (45 s at most): with state "running" the command goes on, so call workspace_job_read with the job_id, the cursors of the last answer and wait_ms until state is "exited".
3. For a server or anything long, use wait_ms 0 or small and come back with workspace_job_read. workspace_job_kill ends a command with its whole process tree. With stdin_open, workspace_job_write answers prompts.
4. workspace_export copies one file or folder from /workspace to a path on the user's machine: the only way out. Ask before you overwrite.
5. workspace_stop ends what runs and keeps the files; workspace_start goes on with them. workspace_delete when done. It says what had changed and was never exported; export first what is wanted.

vm_run does 1, 2 and 5 in one call, for a single command. workspace_list finds earlier workspaces, workspace_logs shows what ran in one. Output is read by byte cursors: dropped counts bytes that are no longer kept, eof says nothing follows. Errors carry a code, a message, often a hint, and retryable. When something does not work at all, call doctor.`
