-- Sets the state of a group of failures, as an operator says.
-- KEYS: 1 group HASH, 2 failures ZSET
-- ARGV: 1 offset ms, 2 open|acknowledged|resolved, 3 by, 4 note, 5 fingerprint
-- Returns {1} | {-1} there is no such group
local now = clock(ARGV[1])
if call('EXISTS', KEYS[1]) == 0 then return {-1} end
-- writes follow
call('HSET', KEYS[1], 'state', ARGV[2], 'at', now, 'by', ARGV[3], 'note', ARGV[4])
sort_group(KEYS[2], ARGV[5])
return {1}
