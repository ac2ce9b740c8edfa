-- Takes an execution that is purged out of the groups of failures.
-- KEYS: 1 failing HASH, 2 superseded HASH, 3 failures ZSET
-- ARGV: 1 id
-- Returns {1}
local id = ARGV[1]
local groups = member_of(KEYS[1], id)
-- writes follow
for _, f in ipairs(groups) do leave_group(KEYS[3], f, id) end
call('HDEL', KEYS[1], id)
call('HDEL', KEYS[2], id)
return {1}
