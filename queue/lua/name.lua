-- Numbers a name, once and for all.
-- KEYS: 1 names HASH
-- ARGV: 1 name
-- Returns {1, number}
local known = call('HGET', KEYS[1], 'n:' .. ARGV[1])
if known then return {1, known + 0} end
local n = (call('HGET', KEYS[1], 'last') or 0) + 1
-- writes follow
call('HSET', KEYS[1], 'last', n, 'n:' .. ARGV[1], n, n, ARGV[1])
return {1, n}
