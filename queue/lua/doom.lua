-- The retention of an execution is over that holds others: nothing lets it go on any more, and they are removed before it.
-- KEYS: 1 execution HASH, 2 expire ZSET
-- ARGV: 1 id, 2 offset ms, 3 1 = whatever its retention says: it goes with the execution that it is a part of
-- Returns {1} | {-1} gone | {-2} not due, or it goes on
local id, now = ARGV[1], clock(ARGV[2])
local x = execution(KEYS[1])
if not x then return {-1} end
local due = call('ZSCORE', KEYS[2], id)
if going(x) or x.status == 'queued' or x.status == 'canceling' or ARGV[3] ~= '1' and (not due or tonumber(due) > now) then return {-2} end
-- writes follow
call('HSET', KEYS[1], 'doomed', 1)
return {1}
