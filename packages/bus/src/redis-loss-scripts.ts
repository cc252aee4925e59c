import { SHARED, script } from "./redis-script.ts";

/**
 * ARGV: group, consumer, reached, then for each suspected gap: from, to, id before it, id after it. Looks for what the
 * balance of the group says is missing, and for no more than that, whoever asks first. What is on the stream and was
 * taken away with the consumer that had it is pending for the asking one again; what is gone is named. Gives how many
 * messages were taken up, then from, to pairs. `reached` is the last ordinal the asking reader has seen.
 */
export const FIND_LOSSES = script(`${SHARED}
local group, consumer, reached = ARGV[1], ARGV[2], tonumber(ARGV[3])
local state
for _, g in ipairs(groups()) do if g.name == group then state = g end end
if not state then return { '0' } end
local accepted, lost, base = count('accepted'), count(group .. ':lost'), count(group .. ':base')
local had = outcomes(group) - count(group .. ':foreign') + count(group .. ':parked')
local next = next_ordinal(state['last-delivered-id'], accepted)
local missing = (next - 1 - base) - had - lost - pending(group)
if missing <= 0 then return { '0' } end
local upto, from, taken = tonumber(redis.call('HGET', ledger, group .. ':settled')), '-', 0
while upto do
  local page = redis.call('XRANGE', stream, from, state['last-delivered-id'], 'COUNT', 100)
  for _, e in ipairs(page) do
    local ordinal, n = own(e[1])
    if ordinal and ordinal > upto and n <= missing
      and redis.call('HEXISTS', ledger, group .. ':settled:' .. string.format('%.0f', ordinal)) == 0
      and #redis.call('XPENDING', stream, group, e[1], e[1], 1) == 0 then
      redis.call('XCLAIM', stream, group, consumer, 0, e[1], 'FORCE', 'JUSTID')
      missing, taken = missing - n, taken + n
    end
  end
  if #page < 100 or missing <= 0 then break end
  from = '(' .. page[#page][1]
end
local found, sum = { tostring(taken) }, 0
if missing <= 0 then return found end
local function name(from, to)
  to = math.min(to, from + missing - 1)
  if to < from then return end
  found[#found + 1] = string.format('%.0f', from)
  found[#found + 1] = string.format('%.0f', to)
  missing, sum = missing - (to - from + 1), sum + (to - from + 1)
  settle(group, from, to)
end
for at = 4, #ARGV, 4 do
  local between = ARGV[at + 2] ~= '' and redis.call('XRANGE', stream, '(' .. ARGV[at + 2], '(' .. ARGV[at + 3], 'COUNT', 1)
  if not between or #between == 0 then name(tonumber(ARGV[at]), tonumber(ARGV[at + 1])) end
end
local ordinal, n = own(state['last-delivered-id'])
local delivered = base + had + lost
if ordinal then delivered = ordinal + n - 1 elseif reached <= accepted then delivered = math.max(delivered, reached) end
if delivered < next - 1 then name(delivered + 1, next - 1) end
if sum > 0 then redis.call('HINCRBY', ledger, group .. ':lost', sum) end
return found`);

/**
 * ARGV: everyMs, keepMs, keepMessages. Removes what every group has acknowledged, but for the last `keepMs`
 * (of these at most about `keepMessages`), at most once in `everyMs` whoever asks. Without a group nothing is removed.
 */
export const TRIM = script(`${SHARED}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now - count('trimmed') < tonumber(ARGV[1]) and now >= count('trimmed') then return -1 end
local all = groups()
if #all == 0 then return 0 end
redis.call('HSET', ledger, 'trimmed', string.format('%.0f', now))
local floor
for _, g in ipairs(all) do
  local needed = g.pending > 0 and redis.call('XPENDING', stream, g.name)[2] or g['last-delivered-id']
  if before(g['last-delivered-id'], needed) then needed = g['last-delivered-id'] end
  if not floor or before(needed, floor) then floor = needed end
end
local function ordinal_at(ms)
  return next_ordinal(string.format('%.0f-0', ms), count('accepted'))
end
local keep, upto = now - tonumber(ARGV[2]), count('accepted') - tonumber(ARGV[3])
if ordinal_at(keep) <= upto then
  local low, high = keep, now
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if ordinal_at(middle) <= upto then low = middle else high = middle end
  end
  keep = low
end
keep = string.format('%.0f-0', keep)
if before(keep, floor) then floor = keep end
return redis.call('XTRIM', stream, 'MINID', '=', floor)`);
