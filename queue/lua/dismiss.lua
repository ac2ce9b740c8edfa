-- Takes an entry off the agenda that asks for nothing: its task neither waits to begin nor holds what rests, or it is a
-- sub-execution that was canceled.
-- KEYS: 1 tasks HASH, 2 open SET
-- ARGV: 1 entry
-- Returns {1} | {-5} it asks for something
local rec = record(KEYS[1], ARGV[1])
if rec and (rec.status == 'pending' or rec.status == 'running' and rec.control) then return {-5} end
-- writes follow
call('SREM', KEYS[2], ARGV[1])
return {1}
