-- Puts a job where remote workers of its lane and type find it; one that waits there already keeps its place.
-- KEYS: 1 offers ZSET, 2 offers of the project ZSET
-- ARGV: 1 offset ms, 2 ms that the keys are kept from now on, 3 channel, 4 message that says what waits, 5 member
-- Returns {1, 1 when the job is new there else 0}
local now = clock(ARGV[1])
local since = call('ZSCORE', KEYS[1], ARGV[5])
-- writes follow
call('ZADD', KEYS[1], 'NX', now, ARGV[5])
call('ZADD', KEYS[2], 'NX', since or now, ARGV[5])
call('PEXPIRE', KEYS[1], ARGV[2])
call('PEXPIRE', KEYS[2], ARGV[2])
if not since then call('PUBLISH', ARGV[3], ARGV[4]) end
return {1, since and 0 or 1}
