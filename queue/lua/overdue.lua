-- Reads which reservations and lines of a project are to be looked at; writes nothing.
-- KEYS: 1 due ZSET
-- ARGV: 1 offset ms, 2 most entries
-- Returns {now, {entry, due, ...}}
local now = clock(ARGV[1])
return {now, call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])}
