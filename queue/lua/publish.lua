-- Stores a definition as the next version of its workflow, unless the newest version is the same.
-- KEYS: 1 workflow HASH, 2 workflows ZSET, 3 definition STRING
-- ARGV: 1 name, 2 offset ms, 3 hash, 4 canonical JSON, 5 source
-- Returns {1, version} created | {2, version} equal to the newest
local now = clock(ARGV[2])
local newest, hash = string.match(call('HGET', KEYS[1], 'head') or '0 ', '^(%d+) (.*)$')
newest = tonumber(newest)
if hash == ARGV[3] then return {2, newest} end
-- writes follow
local v = newest + 1
call('SET', KEYS[3], ARGV[4])
call('HSET', KEYS[1], 'head', v .. ' ' .. ARGV[3], 'h:' .. v, ARGV[3], 's:' .. v, ARGV[5], 't:' .. v, now)
call('ZADD', KEYS[2], 0, ARGV[1])
return {1, v}
