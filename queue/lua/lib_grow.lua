-- Prepended to the scripts that write the tasks inside another.

-- ARGV[at] = number of tasks, then per task ref, what its expressions see as item ('' = none); then 1 and the index of
-- the first when they are items of a for_each, else 0 and 0; then number of preds, then field, value per entry.
-- Tasks that are there already keep their record. Answers where the arguments go on.
local function grow(k, x, holder, at)
  local count = tonumber(ARGV[at])
  local base = at + 2 * count
  local bytes = 0
  local items, first = ARGV[base + 1] == '1', tonumber(ARGV[base + 2])
  for i = 1, count do
    local ref, context = ARGV[at + 2 * i - 1], ARGV[at + 2 * i]
    local new = call('HSETNX', k.tasks, ref, FRESH) == 1
    if new then x.pending = x.pending + 1 end
    if context ~= '' then
      call('HSET', k.values, 'm:' .. ref, context)
      if new then bytes = bytes + #context end
    end
    if items then call('HSET', k.holders, holder .. '#' .. first + i - 1, string.match(ref, '%[([^%[]*)%]$')) end
  end
  if bytes > 0 then call('HINCRBY', k.values, 'bytes', bytes) end
  local preds = 2 * ARGV[base + 3]
  local last = base + 3 + preds
  for from = base + 4, last, 1000 do call('HSET', k.preds, unpack(ARGV, from, math.min(from + 999, last))) end
  return base + 4 + preds
end

-- Whether the values have room for what new tasks see as item (the part is at ARGV[at]), and for more bytes.
local function fits(k, at, more)
  local count, new = tonumber(ARGV[at]), more
  for i = 1, count do new = new + #ARGV[at + 2 * i] end
  local room = VALUES_LIMIT - (call('HGET', k.values, 'bytes') or 0)
  if new == 0 or new <= room then return true end -- even if all of them are new
  for i = 1, count do
    if call('HEXISTS', k.tasks, ARGV[at + 2 * i - 1]) == 1 then new = new - #ARGV[at + 2 * i] end
  end
  return new <= room
end
