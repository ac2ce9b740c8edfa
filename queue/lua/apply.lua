-- Applies the next steps of a redrive that was committed; those that were applied are not applied again.
-- KEYS: as complete.lua, then 16 steps LIST
-- ARGV: 1 id, 2 offset ms, 3 epoch, 4 most rows to apply
-- Returns {1, now, {id, 1, {ref, attempt, ...}, {ref, attempt, dispatch, ...} that were out}, 1 when more are to follow else 0} | {-1} gone | {-5} there is nothing to apply
local id, now = ARGV[1], clock(ARGV[2])
local x = execution(KEYS[1])
if not x then return {-1} end
if not x.applying or string.find(x.applying, 'hold', 1, true) or x.epoch ~= ARGV[3] or not (going(x) or x.status == 'queued') then return {-5} end
local cursor, total = string.match(x.applying, '^(%d+) (%d+)$')
local most, taken = tonumber(ARGV[4]), 0
local rows = call('LRANGE', KEYS[16], cursor, cursor + most + 1) -- a step may have two rows behind it
-- writes follow
local follow, used = 0, 0
local last = cursor + #rows >= total + 0
if last and #rows <= most then x.applying = nil end -- what is ready now goes out at once
local relay, out = apply(KEYS, x, id, now, function()
  if follow == 0 then
    if taken >= most then return nil end
    local raw = rows[used + 1]
    if not raw then return nil end
    local t = cjson.decode(raw)
    follow = (t.v and 1 or 0) + (t.g and 1 or 0)
    if used + 1 + follow > #rows then return nil end -- the next call reads what belongs to it
    taken = taken + 1
  else
    follow = follow - 1
  end
  used = used + 1
  return rows[used]
end)
cursor = cursor + used
if cursor >= total + 0 then
  call('HDEL', KEYS[1], 'applying')
  call('DEL', KEYS[16])
else
  call('HSET', KEYS[1], 'applying', cursor .. ' ' .. total)
end
call('ZADD', KEYS[10], 'NX', now, id)
mark(KEYS[11], id, now)
save(x)
return {1, now, {id, 1, relay, out}, cursor < total + 0 and 1 or 0}
