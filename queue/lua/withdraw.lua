-- Takes back a job that waits for remote workers: what it stood for is over.
-- KEYS: 1 offers ZSET, 2 offers of the project ZSET
-- ARGV: 1 member
-- Returns {1, 1 when it waited there else 0}
local there = call('ZSCORE', KEYS[1], ARGV[1])
-- writes follow
call('ZREM', KEYS[1], ARGV[1])
call('ZREM', KEYS[2], ARGV[1])
return {1, there and 1 or 0}
