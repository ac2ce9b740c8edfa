-- The sub-execution of a task is there and runs: nothing is to be decided about the task until it ends.
-- KEYS: 1 execution HASH of the sub-execution, 2 open SET, 3 tasks HASH
-- ARGV: 1 ref, 2 id of the sub-execution
-- Returns {1} | {-1} it is not there | {-5} the task is to end, or waits for another one | {-6, status} it ended
local x = execution(KEYS[1])
if not x then return {-1} end
if not going(x) and x.status ~= 'queued' and x.status ~= 'canceling' then return {-6, x.status} end
local rec = record(KEYS[3], ARGV[1])
if not rec or rec.status ~= 'running' or rec.child ~= ARGV[2] or rec.timed or rec.hand then return {-5} end
-- writes follow
call('SREM', KEYS[2], ARGV[1])
return {1}
