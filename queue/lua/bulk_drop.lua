-- Removes a bulk operation whose retention is over, or whose executions somebody began to name and did not go on.
-- KEYS: 1 bulk HASH, 2 ids LIST, 3 flight HASH, 4 results HASH, 5 bulks ZSET, 6 looks ZSET
-- ARGV: 1 id, 2 offset ms
-- Returns {1} | {-2} it is not to be removed
local state, due = call('HGET', KEYS[1], 'state'), call('ZSCORE', KEYS[6], ARGV[1])
local over = not state or state == 'creating' or state == 'completed' or state == 'aborted'
if not over or call('HLEN', KEYS[3]) > 0 or not due or tonumber(due) > clock(ARGV[2]) then return {-2} end
-- writes follow
call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
call('ZREM', KEYS[5], ARGV[1])
call('ZREM', KEYS[6], ARGV[1])
call('HDEL', KEYS[6] .. ':states', ARGV[1])
return {1}
