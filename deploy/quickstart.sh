#!/usr/bin/env bash
# One command from a bare Debian 12 to a federation that trains: installs, builds, makes a CA, starts tacitd and a
# set of agents as processes with certificates of their own, and tells what happens while it does.
#
# Usage: deploy/quickstart.sh [options]; relative paths start from where it is called
#   --data DIR      train on real data in the layout of the HAR set (people become devices); default: synthetic sensor
#                   windows that every agent generates for itself
#   --agents N      number of agents, 4 to 200 (default 16; with --data: the people in the training data)
#   --rounds N      rounds to publish, at most 1000 (default 12; with --data: 20)
#   --epsilon E     privacy budget for one device over all rounds, above 0 (default 8)
#   --no-dp         train without differential privacy
#   --json FILE     write {"rounds": [{"round", "accuracy", "loss", "epsilon", "cohort"}], ...} to FILE
#   --dir DIR       where everything is kept (default build/quickstart; an earlier run there is stopped and replaced,
#                   one that is still at work is not)
#   --skip-build    use what is built already
#   --no-incidents  no killed agent, no faulty agent, no refused round: only training
#   --stop          stop what an earlier run left running in --dir, and exit
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
root=$PWD

data="" agents="" rounds="" epsilon=8 dp=yes json="" dir="$root/build/quickstart" build=yes incidents=yes stop=no
usage() { sed -n '2,20s/^# \{0,1\}//p' "$root/deploy/quickstart.sh"; }
fail() { echo "quickstart: $*" >&2; exit 1; }
wrong() { echo "quickstart: $*" >&2; exit 2; }
from_here() { cd "$here" && realpath "$@"; }  # in $( ) only
whole() {  # whole OPTION VALUE LEAST MOST
  [[ "$2" =~ ^[1-9][0-9]{0,5}$ ]] && [ "$2" -ge "$3" ] && [ "$2" -le "$4" ] ||
    wrong "$1 takes a whole number from $3 to $4, not '$2'"
}
while [ $# -gt 0 ]; do
  case "$1" in
    --data|--agents|--rounds|--epsilon|--json|--dir) [ -n "${2:-}" ] || wrong "$1 needs a value; try --help" ;;
  esac
  case "$1" in
    --data) { data=$(from_here -e "$2" 2>/dev/null) && [ -d "$data" ]; } || wrong "there is no directory $2"; shift ;;
    --agents) whole "$1" "$2" 4 200; agents=$2; shift ;;
    --rounds) whole "$1" "$2" 1 1000; rounds=$2; shift ;;
    --epsilon)
      [[ "$2" =~ ^(0|[1-9][0-9]*)(\.[0-9]+)?$ && "$2" =~ [1-9] ]] ||
        wrong "--epsilon takes a number above 0 such as 8 or 0.5, not '$2'"
      epsilon=$2; shift ;;
    --no-dp) dp=no ;;
    --json) json=$(from_here -m "$2"); shift ;;
    --dir) dir=$(from_here -m "$2"); shift ;;
    --skip-build) build=no ;;
    --no-incidents) incidents=no ;;
    --stop) stop=yes ;;
    -h|--help) usage; exit 0 ;;
    *) wrong "unknown option '$1'; try --help" ;;
  esac
  shift
done

if [ -n "$json" ]; then
  case "$json" in
    "$dir"/*/* | "$dir" | "$dir"/.tacit-quickstart | "$dir"/pids | "$dir"/tacitd.log | "$dir"/init.txt | \
    "$dir"/plan.toml | "$dir"/task.toml | "$dir"/task.json | "$dir"/agents | "$dir"/models | "$dir"/server)
      wrong "--json $json is in what this run replaces" ;;
  esac
  parent=$(dirname "$json")
  [ "$parent" = "$dir" ] || { [ -d "$parent" ] && [ -w "$parent" ]; } || wrong "--json: $parent cannot be written to"
  [ ! -e "$json" ] || { [ ! -d "$json" ] && [ -w "$json" ]; } || wrong "--json: $json cannot be written to"
fi

# ---- One at a time ----

# What marks a directory as made here is also what the one that works in it holds, to the end of its process.
marker="$dir/.tacit-quickstart"
take_directory() {
  exec {lock}<> "$marker"
  flock -n "$lock" ||
    fail "another quickstart, process $(cat "$marker"), is at work in $dir; wait, end it, or choose another --dir"
  echo "$$" > "$marker"
}

# ---- Stopping ----

# still_running: "pid name" of what an earlier run started. A number may belong to somebody else by now: the name tells.
still_running() {
  local pid name
  while read -r pid name; do
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$name" ]; then echo "$pid $name"; fi
  done < "$dir/pids"
}

stop_earlier_run() {
  [ -f "$dir/pids" ] || return 0
  still_running | while read -r pid _; do kill "$pid" 2>/dev/null || true; done
  for _ in $(seq 100); do
    [ -n "$(still_running)" ] || break
    sleep 0.1
  done
  rm -f "$dir/pids"
}
if [ "$stop" = yes ]; then
  if [ -e "$marker" ]; then take_directory; fi
  [ -f "$dir/pids" ] || { echo "quickstart: nothing of $dir is running"; exit 0; }
  stop_earlier_run
  echo "quickstart: stopped what was running in $dir"
  exit 0
fi

# ---- Telling ----

started=$SECONDS
say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }

if [ -e "$dir" ] && [ ! -e "$marker" ] && { [ ! -d "$dir" ] || [ -n "$(ls -A "$dir")" ]; }; then
  fail "$dir exists and is not from an earlier run; choose another --dir"
fi
{ mkdir -p "$dir" 2>/dev/null && [ -w "$dir" ]; } || wrong "--dir: $dir cannot be made, or not be written to"
take_directory

# ---- Building ----

if [ "$build" = yes ]; then
  # One tree is built by one at a time, whatever --dir each has.
  mkdir -p "$root/build"
  exec {building}> "$root/build/.quickstart-builds"
  flock -n "$building" || { say "Another quickstart is building here; waiting for it"; flock "$building"; }
  say "Installing what is missing (Debian packages only)"
  deploy/install-deps.sh --build-only
  say "Building tacitd, tacit-agent and tacit"
  cmake --preset release -DTACIT_TESTS=OFF > /dev/null
  cmake --build --preset release --target tacitd tacit-agent tacit
  exec {building}>&-
fi
bin="$root/build/release/bin"
for program in tacitd tacit-agent tacit; do
  [ -x "$bin/$program" ] || fail "$bin/$program is not built; run without --skip-build"
done
command -v jq > /dev/null || fail "jq is missing; run deploy/install-deps.sh"
built=$SECONDS

# ---- Deciding ----

server="$dir/server"
if [ -n "$data" ]; then
  mapfile -t subjects < <("$bin/tacit-agent" subjects --data "$data" --split train)
  [ "${#subjects[@]}" -gt 1 ] || fail "$data holds fewer than two people to train on"
  agents=${agents:-${#subjects[@]}}
  [ "$agents" -le "${#subjects[@]}" ] || fail "$data holds ${#subjects[@]} people, fewer than --agents $agents"
  rounds=${rounds:-20}
  learning_rate=0.1
  source_text="real data: people of $data, one agent each"
  held_out=(--data "$data" --split test)
else
  agents=${agents:-16}
  rounds=${rounds:-12}
  learning_rate=0.2
  source_text="SYNTHETIC sensor windows, generated by each agent with a skew of its own"
  held_out=(--synthetic "0/$agents" --split test)
fi
[ "$agents" -ge 4 ] || fail "$data holds $agents people; a federation needs 4 agents to lose one and still train"
read -r inputs classes < <("$bin/tacit-agent" shape "${held_out[@]}" --json |
  jq -r '"\(.data.inputs) \(.data.classes)"')
minimum=$(( (agents * 7 + 9) / 10 ))

# Nothing of an earlier run was touched before this.
stop_earlier_run
find "$dir" -mindepth 1 -maxdepth 1 ! -name .tacit-quickstart -exec rm -rf {} +
mkdir -p "$dir/agents" "$dir/models"

task_file() {  # task_file NAME ROUNDS PRIVACY-LINES: the whole task as one file
  local weighting="uniform"
  [ "$dp" = no ] && weighting="examples"
  cat <<TASK
# Made by deploy/quickstart.sh. Every key is explained in docs/OPERATING.md.
name = "$1"

[model]
kind = "softmax"
inputs = $inputs
classes = $classes
seed = 1

[training]
epochs = 2
batch_size = 32
learning_rate = $learning_rate
momentum = 0.0
proximal_mu = 0.0

[rounds]
count = $2

[cohort]
size = $agents
min = $minimum
over_selection = 1.25
deadline = "5s"

[privacy]
$3

[aggregation]
optimizer = "fedavg"
learning_rate = 1.0
weighting = "$weighting"
TASK
  [ "$weighting" = examples ] && echo 'max_examples = 1000'
  return 0
}

# ---- The server ----

say "Making a certificate authority, a server certificate and a first operator"
"$bin/tacit" init --dir "$server" --trust-domain quickstart.example > "$dir/init.txt"
# Ports of the system's choosing, so that two quickstarts can run side by side.
sed -i -E 's/^port *= *[0-9]+/port = 0/' "$server/tacitd.toml"
# All agents enrol from one address, in one go.
sed -i -E "s/^# (requests_per_minute_per_source) *=.*/\1 = $((agents + 30))/" "$server/tacitd.toml"

cleanup_on_failure() {
  local code=$?
  if [ $code -ne 0 ]; then
    # Also what was started a moment ago, and whose number is not written down yet.
    jobs -p | xargs -r kill 2>/dev/null || true
    stop_earlier_run
    local what=failed
    if [ $code -gt 128 ]; then what="interrupted, and what it had started is stopped"; fi
    echo "quickstart: $what; logs are in $dir" >&2
  fi
}
trap cleanup_on_failure EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# What stays running must not hold on to the output of this script, nor to its directory: whoever waits for either would
# wait for ever. Each log is there before anybody looks into it.
: > "$dir/tacitd.log"
"$bin/tacitd" --config "$server/tacitd.toml" > /dev/null 2>> "$dir/tacitd.log" < /dev/null {lock}>&- &
echo "$! tacitd" >> "$dir/pids"
server_pid=$!
disown
for _ in $(seq 200); do
  ready=$(grep -m1 '"event":"server_ready"' "$dir/tacitd.log" || true)
  [ -n "$ready" ] && break
  kill -0 "$server_pid" 2>/dev/null || { tail -5 "$dir/tacitd.log" >&2; fail "tacitd did not start"; }
  sleep 0.05
done
[ -n "$ready" ] || fail "tacitd is not ready; see $dir/tacitd.log"
api_port=$(jq -r .api_port <<< "$ready")
enrolment_port=$(jq -r .enrolment_port <<< "$ready")
metrics_port=$(jq -r .metrics_port <<< "$ready")
# The operator's context names the default port; this server has another one.
context=$(jq --arg server "127.0.0.1:$api_port" '.server = $server' "$server/cli.json")
echo "$context" > "$server/cli.json"
tacit() { "$bin/tacit" --context "$server" "$@"; }
agents_port=$(jq -r .agents_port <<< "$ready")
note "tacitd is ready: agents on $agents_port (mutual TLS 1.3), operators on $api_port, metrics on $metrics_port"

# ---- The agents ----

say "Enrolling $agents agents, each with a key born on its own side and a one-time token"
agent_data() {  # agent_data INDEX: sets the options that name the data of agent INDEX
  if [ -n "$data" ]; then data_options=(--data "$data" --subject "${subjects[$1]}")
  else data_options=(--synthetic "$1/$agents"); fi
}
enrol() {  # enrol NAME
  local state="$dir/agents/$1" token
  mkdir -p "$state"
  token=$(tacit --json device token create --name "$1")
  jq -r .data.token <<< "$token" > "$state/token"
  "$bin/tacit-agent" join --server 127.0.0.1 --enrolment-port "$enrolment_port" \
    --ca-fingerprint "$(jq -r .data.ca_fingerprint <<< "$token")" --token-file "$state/token" --state "$state" \
    > "$state/join.log" 2>&1 || { cat "$state/join.log" >&2; return 1; }
  rm -f "$state/token"
}
start_agent() {  # start_agent NAME INDEX [more options]
  local name=$1 index=$2
  shift 2
  : >> "$dir/agents/$name/agent.log"
  agent_data "$index"
  "$bin/tacit-agent" run --state "$dir/agents/$name" "${data_options[@]}" "$@" \
    > /dev/null 2>> "$dir/agents/$name/agent.log" < /dev/null {lock}>&- &
  echo "$! tacit-agent" >> "$dir/pids"
  agent_pid=$!
  disown
}
for (( i = 0; i < agents; ++i )); do enrol "agent-$i"; done
if [ "$incidents" = yes ]; then enrol agent-faulty; fi
note "$(tacit --json device list | jq -r '.data.items | length') devices are enrolled"

# ---- The task ----

task=$([ -n "$data" ] && echo har || echo sensors)
if [ "$dp" = yes ]; then
  privacy="mechanism = \"gaussian\"
clip_norm = 0.3
delta = 1e-5
epsilon_budget = $epsilon
population = $agents"
  task_file "$task" "$rounds" "$privacy
target_epsilon = $epsilon" > "$dir/plan.toml"
  plan=$(tacit --json task create --dry-run -f "$dir/plan.toml") ||
    { jq -r .error.message <<< "$plan" >&2; fail "the plan was refused"; }
  noise=$(jq -r .data.noise_multiplier <<< "$plan")
  # One round more than the budget pays for, so that the refusal can be seen.
  wanted=$rounds
  if [ "$incidents" = yes ]; then wanted=$((rounds + 1)); fi
  task_file "$task" "$wanted" "$privacy
noise_multiplier = $noise" > "$dir/task.toml"
  say "Planning: what epsilon $epsilon buys"
  planned() { jq -r ".data.$1 | if type == \"number\" then . * 10000 | round / 10000 else . end" <<< "$plan"; }
  note "noise multiplier $noise gives epsilon $(planned epsilon) at delta 1e-5 after $rounds rounds"
  note "noise on the average is $(planned noise_to_signal) of the clip norm (z/m): $(planned meaning)"
  note "a cohort of about $(planned cohort_needed) devices would be needed for no visible loss; here are $agents"
else
  wanted=$rounds
  task_file "$task" "$rounds" 'mechanism = "none"
clip_norm = 10.0' > "$dir/task.toml"
  say "Planning: no differential privacy, so nothing is claimed about it"
fi
tacit --json task create -f "$dir/task.toml" > "$dir/task.json" ||
  { jq -r .error.message "$dir/task.json" >&2; fail "the task was refused"; }

say "Training '$task': $source_text"
note "$agents agents as processes of their own; softmax regression, $inputs features, $classes classes, $rounds rounds"
victim=$((agents - 1))
for (( i = 0; i < agents; ++i )); do
  if [ "$incidents" = yes ] && [ "$i" = "$victim" ]; then continue; fi
  start_agent "agent-$i" "$i"
done
if [ "$incidents" = yes ]; then
  note "agent-$victim is one that dawdles, and there is one more, agent-faulty, whose updates are not numbers"
  start_agent "agent-$victim" "$victim" --inject-fault slow
  victim_pid=$agent_pid
  start_agent agent-faulty 0 --inject-fault nan
  faulty_pid=$agent_pid
fi

# ---- Watching ----

results="[]"
printed=0 victim_state=training faulty_told=no

show_new_rounds() {
  local row round phase counted epsilon_after reason line
  while read -r row; do
    [ -n "$row" ] || continue
    IFS=$'\t' read -r round phase counted epsilon_after reason <<< "$row"
    printed=$round
    if [ "$phase" != published ]; then
      note "round $(printf %2d "$round"): $phase, $reason"
      continue
    fi
    local model="$dir/models/round-$round.safetensors"
    tacit model get "$task" --version "$round" -o "$model" > /dev/null
    local score accuracy loss
    score=$("$bin/tacit-agent" evaluate --model "$model" "${held_out[@]}" --json)
    accuracy=$(jq -r .data.accuracy <<< "$score") loss=$(jq -r .data.loss <<< "$score")
    line=$(printf 'round %2d: cohort %d, held-out accuracy %5.1f %%, loss %.3f' \
      "$round" "$counted" "$(jq -n "$accuracy * 100")" "$loss")
    if [ "$dp" = yes ]; then
      line+=", epsilon spent $(jq -n "$epsilon_after * 1000 | ceil / 1000") of $epsilon"
    else
      epsilon_after=null
    fi
    note "$line"
    row="{round: $round, accuracy: $accuracy, loss: $loss, epsilon: $epsilon_after, cohort: $counted}"
    results=$(jq -c ". + [$row]" <<< "$results")
  done < <(tacit --json task rounds "$task" | jq -r --argjson printed "$printed" \
    '.data.items[] | select(.round > $printed and (.phase == "published" or .phase == "abandoned"))
     | [.round, .phase, .counted, (.epsilon_after // 0), .reason] | @tsv')
}

cause_incidents() {
  local refusal round
  if [ "$faulty_told" = no ]; then
    refusal=$(grep -m1 '"event":"update_refused".*"device":"agent-faulty"' "$dir/tacitd.log" | jq -r .reason || true)
    if [ -n "$refusal" ]; then
      note "-- agent-faulty was refused, and the round goes on: $refusal"
      kill "$faulty_pid" 2>/dev/null || true
      faulty_told=yes
    fi
  fi
  if [ "$victim_state" = training ]; then
    round=$(grep -m1 '"event":"agent_round_started"' "$dir/agents/agent-$victim/agent.log" | jq -r .round || true)
    if [ -n "$round" ]; then
      kill -9 "$victim_pid"
      note "-- agent-$victim is killed in the middle of round $round, which will close without it at its deadline"
      victim_state=dead victim_round=$round
    fi
  fi
  if [ "$victim_state" = dead ] && [ "$printed" -ge "$victim_round" ]; then
    note "-- agent-$victim is started again and joins the next round"
    start_agent "agent-$victim" "$victim"
    victim_state=back
  fi
}

deadline=$((SECONDS + 60 + rounds * 30))
while :; do
  show_new_rounds
  state=$(tacit --json task show "$task")
  [ "$(jq -r .data.state <<< "$state")" = active ] || break
  if [ "$incidents" = yes ]; then cause_incidents; fi
  [ $SECONDS -lt $deadline ] ||
    fail "round $((printed + 1)) does not end: $(jq -r .data.current_round.waiting_for <<< "$state")"
  sleep 0.2
done
show_new_rounds

# ---- The end ----

reason=$(jq -r .data.state_reason <<< "$state")
say "The task has ended: $reason"
count=$(jq length <<< "$results")
[ "$count" -ge "$rounds" ] || fail "only $count of $rounds rounds were published"
if [ "$incidents" = yes ]; then
  [ "$faulty_told" = yes ] || fail "the faulty agent was never refused"
  # Killed in the last round, it has none to come back for.
  [ "$victim_state" != training ] || fail "no agent was killed"
  if [ "$dp" = yes ]; then
    [ "$(jq -r .data.state <<< "$state")" = budget_exhausted ] || fail "the round beyond the budget was not refused"
  fi
fi
last=$(jq -r '[.[-3:][].accuracy] | add / length * 1000 | round / 10' <<< "$results")
note "held-out accuracy, mean of the last three rounds: $last %"
if [ "$dp" = yes ]; then
  tacit privacy show "$task" | sed 's/^/   /'
fi
if [ -n "$json" ]; then
  jq -n --argjson rounds "$results" --arg task "$task" --arg data "${data:-synthetic}" --argjson agents "$agents" \
    --argjson plan "${plan:-null}" --arg state "$(jq -r .data.state <<< "$state")" --arg reason "$reason" \
    '{rounds: $rounds, task: $task, data: $data, agents: $agents, plan: ($plan.data // null), state: $state,
      state_reason: $reason}' > "$json"
  note "results are in $json"
fi

say "Done in $((SECONDS - built)) s after $((built - started)) s of building. Everything is still running; look around:"
note "export PATH=$(printf %q "$bin"):\$PATH TACIT_CONTEXT=$(printf %q "$server")"
note "tacit task show $task; tacit task rounds $task; tacit privacy show $task; tacit device list"
note "curl -s http://127.0.0.1:$metrics_port/metrics | grep tacit_"
note "dashboard: https://127.0.0.1:$api_port/ (its CA is $server/pki/ca.crt)"
note "what it asks for: tacit access token create --name me --role operator"
note "models: $dir/models"
note "server: $server, its log $dir/tacitd.log; agents' logs: $dir/agents/*/agent.log"
note "stop it all: deploy/quickstart.sh --stop$([ "$dir" = "$root/build/quickstart" ] || printf ' --dir %q' "$dir")"
