-- What ends a wait is due while the execution is paused: it is looked at again later, and counts when that is resumed.
-- KEYS: 1 execution HASH, 2 timers ZSET
-- ARGV: 1 offset ms, 2 timer, 3 ms until it is looked at again
-- Returns {1} | {-1} gone | {-5} it is not paused
local x = execution(KEYS[1])
if not x then return {-1} end
if x.status ~= 'paused' then return {-5} end
-- writes follow
call('ZADD', KEYS[2], 'XX', clock(ARGV[1]) + ARGV[3], ARGV[2])
return {1}
