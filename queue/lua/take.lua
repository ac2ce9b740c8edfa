-- Takes jobs that wait for remote workers, those that waited longest first. They are hints: what is
-- taken and never claimed is offered again by a sweep.
-- KEYS: 1 offers ZSET, then the offers ZSET of each project that may be taken from (none = of any project)
-- ARGV: 1 most jobs to take, at most 500 over all projects
-- Returns {1, jobs left, then member per job}
local most, found, left = tonumber(ARGV[1]), {}, 0
for i = math.min(2, #KEYS), #KEYS do
  local list = call('ZRANGE', KEYS[i], 0, most - 1, 'WITHSCORES')
  for j = 1, #list, 2 do found[#found + 1] = {member = list[j], since = tonumber(list[j + 1])} end
  left = left + call('ZCARD', KEYS[i])
end
table.sort(found, function(a, b) return a.since < b.since or a.since == b.since and a.member < b.member end)
-- writes follow
local reply = {1, left}
for i = 1, math.min(most, #found) do
  local member = found[i].member
  call('ZREM', KEYS[1], member)
  call('ZREM', KEYS[1] .. ':' .. string.match(member, '^[^ ]*'), member)
  reply[i + 2] = member
end
reply[2] = left - (#reply - 2)
return reply
