-- Gives the free slots of a workflow to those who wait, in their order; each is then begun by who asked, or by a sweep.
-- KEYS: 1 workflow HASH, 2 slots ZSET, 3 waiting ZSET, 4 due ZSET
-- ARGV: 1 workflow, 2 offset ms, 3 most to let in now
-- Returns {1, 1 when more may be let in, then id, epoch of each}
local workflow, now = ARGV[1], clock(ARGV[2])
local most, room = limit(KEYS[1]), tonumber(ARGV[3])
local free = most and most - call('ZCARD', KEYS[2]) or math.huge
local next = call('ZRANGE', KEYS[3], 0, room, 'WITHSCORES') -- one more than may be let in
-- writes follow
local reply = {1, 0}
local at = 1
while free > 0 and #reply < 2 * room + 2 and next[at] and math.floor(next[at + 1]) <= now do
  local id, epoch = string.match(next[at], '^(%S+):(%d+)$')
  call('ZREM', KEYS[3], next[at])
  local slot = call('ZSCORE', KEYS[2], id)
  if not slot then free = free - 1 end
  if not slot or tonumber(slot) < tonumber(epoch) then
    call('ZADD', KEYS[2], epoch, id)
    look_at(KEYS[4], slot_entry(id, epoch, workflow), now + SLOT_GRACE)
    reply[#reply + 1] = id
    reply[#reply + 1] = epoch
  end
  at = at + 2
end
if next[at] and math.floor(next[at + 1]) > now then
  call('ZADD', KEYS[4], next[at + 1], 'fill:' .. workflow) -- whose time has not come
elseif next[at] and free > 0 then
  reply[2] = 1
  call('ZADD', KEYS[4], now, 'fill:' .. workflow)
else
  call('ZREM', KEYS[4], 'fill:' .. workflow) -- nobody waits, or the next end of an execution lets them in
end
return reply
