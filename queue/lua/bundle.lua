-- Keeps a bundle under the next number, unless its name is taken, and forgets the oldest ones.
-- KEYS: 1 bundles HASH
-- ARGV: 1 name, 2 offset ms, 3 record, 4 content, 5 how many are kept, 6 how many contents are kept
-- Returns {1, number, ms} | {2, number} the name is taken
local taken = call('HGET', KEYS[1], 'n:' .. ARGV[1])
if taken then return {2, taken + 0} end
local now = clock(ARGV[2])
local n = (call('HGET', KEYS[1], 'last') or 0) + 1
local old = n - ARGV[5]
local forgotten = call('HGET', KEYS[1], 'i:' .. old)
-- writes follow
call('HSET', KEYS[1], 'last', n, 'n:' .. ARGV[1], n, 'i:' .. n, ARGV[1], 't:' .. n, now, 'r:' .. n, ARGV[3], 'c:' .. n, ARGV[4])
call('HDEL', KEYS[1], 'c:' .. (n - ARGV[6]))
if forgotten then call('HDEL', KEYS[1], 'n:' .. forgotten, 'i:' .. old, 't:' .. old, 'r:' .. old, 'c:' .. old) end
return {1, n, now}
