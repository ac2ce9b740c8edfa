-- A new execution that redrives made of others succeeded: what had failed of those until then is no open failure any more. The latest success counts.
-- KEYS: 1 failing HASH, 2 superseded HASH, 3 failures ZSET
-- ARGV: 1 when it succeeded, ms, then ids
-- Returns {1}
local at = tonumber(ARGV[1])
-- writes follow
for i = 2, #ARGV do
  local id = ARGV[i]
  if at > tonumber(call('HGET', KEYS[2], id) or 0) then
    call('HSET', KEYS[2], id, ARGV[1])
    local groups, failed = member_of(KEYS[1], id)
    if failed <= at then
      for _, f in ipairs(groups) do
        call('ZREM', KEYS[3] .. ':' .. f .. ':open', id)
        sort_group(KEYS[3], f)
      end
    end
  end
end
return {1}
