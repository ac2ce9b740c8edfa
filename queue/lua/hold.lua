-- Keeps aside what becomes ready in an execution while a redrive of it is planned, for a short time; or ends that.
-- KEYS: 1 execution HASH, 2 decide ZSET
-- ARGV: 1 id, 2 offset ms, 3 token, 4 ms ('' = it ends; an empty token ends one whose time is over)
-- Returns {1} | {-1} gone | {-5} steps of a redrive are being applied, or another hold is there | {-6, status} not in this status
local id, now = ARGV[1], clock(ARGV[2])
local x = execution(KEYS[1])
if not x then return {-1} end
if not going(x) then return {-6, x.status} end
local token, till = string.match(x.applying or '', '^hold (%S+) (%d+)$')
local over = token and till + 0 <= now
if x.applying and not over and token ~= ARGV[3] or x.applying and not token then return {-5} end
-- writes follow
if ARGV[4] ~= '' then call('HSET', KEYS[1], 'applying', 'hold ' .. ARGV[3] .. ' ' .. now + ARGV[4])
else call('HDEL', KEYS[1], 'applying') end
call('ZADD', KEYS[2], 'NX', now, id)
return {1}
