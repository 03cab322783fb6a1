#!/usr/bin/env bash
# One real Apache Kafka 4.1.1 node (KRaft: broker and controller in one process) on loopback, for tests and benchmarks.
#
#   broker.sh fetch                download the jars into the cache, once (43 MB)
#   broker.sh start DIR [--tied]   start the broker that lives in DIR; print its addresses, one in a line
#   broker.sh stop DIR             end it in order: it closes its files and leaves a clean log
#   broker.sh kill DIR             end it at once (SIGKILL), as a crash does
#   broker.sh pause DIR            freeze it (SIGSTOP); `resume DIR` lets it go on
#   broker.sh address DIR          print what `start` printed
#   broker.sh remove DIR           kill it if it runs, and delete what it left in DIR
#
# `start` on a DIR that has been started before uses the same ports and the same data: that is a restart.
# `start --tied` removes the broker and its data as soon as standard input ends. A test holds the other end of that
# pipe, so the broker goes with the test however the test ends, SIGKILL included.
#
# Topics are never created by themselves. The first address is open and may do everything. The second one asks for
# SASL (PLAIN or SCRAM-SHA-256): user `riskweir`, password `riskweir`, may do everything; user `stranger`, password
# `stranger`, may do nothing, for tests of refused access. The third one asks for the same over TLS; its certificate
# is for 127.0.0.1 and localhost, signed by itself: DIR/ca.pem is what a client must trust. It takes SCRAM-SHA-512 too, and
# OAUTHBEARER with unsigned tokens whose scope is `kafka` (the user is their `sub`). With RISKWEIR_KAFKA_TLS there are two
# more addresses, TLS without SASL: the fourth one asks for a client certificate (`CN=riskweir` may do everything), the
# fifth one shows the certificate of another name and asks for nothing.
#
# Needs Java 17 or newer; `fetch` needs Maven too. Environment:
#   RISKWEIR_KAFKA_CACHE       where the jars lie (default: ~/.cache/riskweir/kafka-4.1.1)
#   RISKWEIR_KAFKA_JAVA_OPTS   more options for the broker's JVM, after ours
#   RISKWEIR_KAFKA_LOG_LEVEL   level of DIR/broker.log (default: WARN)
#   RISKWEIR_KAFKA_START_S     seconds that a start may take (default: 90)
#   RISKWEIR_KAFKA_TLS         folder with authority.pem, and with broker.pem and elsewhere.pem: key and certificate each
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${RISKWEIR_KAFKA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/riskweir/kafka-4.1.1}
start_limit_s=${RISKWEIR_KAFKA_START_S:-90}
stop_limit_s=30
port_attempts=10

say() { printf 'broker.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" >&2; exit 2; }

# --- jars -------------------------------------------------------------------------------------------------------

# The folder is named after the content of the POM: another set of jars never mixes with this one. It gets its final
# name by a rename after everything has arrived, so an interrupted download never looks complete.
jars_dir() { printf '%s/jars-%s' "$cache" "$(cksum <"$here/pom.xml" | tr -s ' \t' '-' | sed 's/-$//')"; }

fetch() {
  local jars partial
  jars=$(jars_dir)
  [ -d "$jars" ] && return
  command -v mvn >/dev/null || die "Maven is missing and the jars of Kafka are not in $jars; install Maven 3.6.3 or newer (Debian: apt install maven)"
  partial=$(new_partial)
  # shellcheck disable=SC2064 # The name is needed as it is now.
  trap "rm -rf '$partial'" EXIT
  say "fetching the jars of Apache Kafka 4.1.1 with Maven, once, into $jars"
  mvn -q -B --strict-checksums -f "$here/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$partial" >&2 </dev/null ||
    die "Maven could not fetch the jars of Kafka; its message stands above. Is Maven Central (or your mirror of it) reachable?"
  publish "$partial" "$jars"
  trap - EXIT
}

# The broker's key and certificate for TLS, made once: nothing secret, it serves on loopback only.
certificate() {
  local partial
  [ -d "$cache/tls" ] && return
  partial=$(new_partial)
  # shellcheck disable=SC2064
  trap "rm -rf '$partial'" EXIT
  if ! {
    keytool -genkeypair -alias broker -keyalg RSA -keysize 2048 -validity 3650 -dname CN=localhost \
      -ext san=ip:127.0.0.1,dns:localhost -ext bc:c=ca:true \
      -storetype PKCS12 -keystore "$partial/broker.p12" -storepass riskweir &&
      keytool -exportcert -rfc -alias broker -keystore "$partial/broker.p12" -storepass riskweir \
        -file "$partial/ca.pem"
  } >"$partial/keytool.log" 2>&1 </dev/null; then
    cat "$partial/keytool.log" >&2
    die "could not make a certificate with keytool, which belongs to Java"
  fi
  publish "$partial" "$cache/tls"
  trap - EXIT
}

new_partial() {
  mkdir -p "$cache"
  find "$cache" -maxdepth 1 -name 'partial.*' -mmin +60 -exec rm -rf {} +
  mktemp -d "$cache/partial.XXXXXX"
}

publish() {
  sync -f "$1" 2>/dev/null || sync
  # Where two make the same at once, the second rename goes inside the first one's folder.
  mv "$1" "$2"
  rm -rf "${2:?}/${1##*/}"
}

# --- the process ------------------------------------------------------------------------------------------------

# Prints the pid of DIR's broker if that process runs and is really a broker of DIR (pids are used again).
running_pid() {
  local pid
  [ -f "$dir/pid" ] || return 1
  pid=$(<"$dir/pid")
  # As a string in the whole text: `ps` has no other way to say which program it is.
  case $(ps -ww -o stat=,args= -p "$pid" 2>/dev/null) in
    Z*) return 1 ;;
    *"kafka.Kafka $dir/server.properties"*) printf '%s' "$pid" ;;
    *) return 1 ;;
  esac
}

java_command() {
  command -v java >/dev/null || die "Java is missing: install Java 17 or newer (Debian: apt install openjdk-17-jre-headless)"
  local version
  version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
  [ "${version:-0}" -ge 17 ] || die "Java ${version:-?} is too old for Kafka 4.1.1: install Java 17 or newer"
  # WHY: one small heap and the quick compiler only. Start-up time matters here, not the last bit of throughput.
  java=(java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Djava.awt.headless=true
    "-Dlog4j2.configurationFile=$dir/log4j2.properties")
  # shellcheck disable=SC2206 # Options are split at blanks on purpose.
  java+=(${RISKWEIR_KAFKA_JAVA_OPTS:-})
  java+=(-cp "$(jars_dir)/*")
}

# Six free ports. A port is free if nothing answers there. Taken from below the range that systems use for outgoing
# connections, so that a stopped broker finds its ports again.
free_ports() {
  local port ports=' '
  while [ "$(wc -w <<<"$ports")" -lt 6 ]; do
    port=$((15000 + (RANDOM * 32768 + RANDOM) % 15000))
    case $ports in *" $port "*) continue ;; esac
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || ports+="$port "
  done
  printf '%s' "$ports"
}

new_cluster_id() {
  local id
  while :; do
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')
    [ "${id#-}" = "$id" ] && break
  done
  printf '%s' "$id"
}

write_settings() {
  local plain=$1 sasl=$2 tls=$3 controller=$4 mutual=$5 elsewhere=$6 certificates=${RISKWEIR_KAFKA_TLS:-}
  local more=''
  printf '127.0.0.1:%s\n' "$plain" "$sasl" "$tls" >"$dir/address"
  if [ -n "$certificates" ]; then
    more=",MUTUAL://127.0.0.1:$mutual,ELSEWHERE://127.0.0.1:$elsewhere"
    printf '127.0.0.1:%s\n' "$mutual" "$elsewhere" >>"$dir/address"
  fi
  cp "$cache/tls/ca.pem" "$dir/ca.pem"
  cat >"$dir/server.properties" <<SETTINGS
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$plain,SASL://127.0.0.1:$sasl,TLS://127.0.0.1:$tls,CONTROLLER://127.0.0.1:$controller$more
advertised.listeners=PLAINTEXT://127.0.0.1:$plain,SASL://127.0.0.1:$sasl,TLS://127.0.0.1:$tls$more
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SASL_SSL,CONTROLLER:PLAINTEXT,MUTUAL:SSL,ELSEWHERE:SSL
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
# Access: ANONYMOUS is whoever comes over the open listener.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:riskweir;User:CN=riskweir
$(for listener in sasl tls; do
    printf 'listener.name.%s.%s\n' \
      $listener "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256$([ $listener = sasl ] || echo ,SCRAM-SHA-512,OAUTHBEARER)" \
      $listener "plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_riskweir=\"riskweir\" user_stranger=\"stranger\";" \
      $listener "scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
  done)
listener.name.tls.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.tls.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker" unsecuredValidatorRequiredScope="kafka";
listener.name.tls.ssl.keystore.type=PKCS12
listener.name.tls.ssl.keystore.location=$cache/tls/broker.p12
listener.name.tls.ssl.keystore.password=riskweir
$([ -z "$certificates" ] || printf 'listener.name.%s\n' \
    "mutual.ssl.keystore.type=PEM" "mutual.ssl.keystore.location=$certificates/broker.pem" \
    "mutual.ssl.truststore.type=PEM" "mutual.ssl.truststore.location=$certificates/authority.pem" \
    "mutual.ssl.client.auth=required" \
    "elsewhere.ssl.keystore.type=PEM" "elsewhere.ssl.keystore.location=$certificates/elsewhere.pem")
# One node: no copies, few partitions for the offsets and the transactions.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Tests must not wait: no pause before the first rebalance, short sessions allowed, dead transactions found soon.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
log.retention.check.interval.ms=5000
log.cleaner.backoff.ms=1000
# A broker that was killed comes back when its old session is over: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# Lean: two cores, a small heap. The compaction buffer alone is 128 MiB by default.
num.network.threads=2
num.io.threads=4
background.threads=4
log.cleaner.dedupe.buffer.size=4194304
SETTINGS
  # The level of KafkaRaftServer is fixed: its line "Kafka Server started" is what `start` waits for.
  cat >"$dir/log4j2.properties" <<SETTINGS
rootLogger.level=${RISKWEIR_KAFKA_LOG_LEVEL:-WARN}
rootLogger.appenderRef.s.ref=S
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
appender.s.type=Console
appender.s.name=S
appender.s.layout.type=PatternLayout
appender.s.layout.pattern=%d{ISO8601} %p %c{1} %m%n
SETTINGS
}

format_storage() {
  rm -rf "${dir:?}/data"
  "${java[@]}" kafka.tools.StorageTool format -t "$(new_cluster_id)" -c "$dir/server.properties" \
    --add-scram 'SCRAM-SHA-256=[name=riskweir,password=riskweir]' \
    --add-scram 'SCRAM-SHA-512=[name=riskweir,password=riskweir]' \
    --add-scram 'SCRAM-SHA-256=[name=stranger,password=stranger]' >"$dir/format.log" 2>&1 </dev/null || {
    tail -n 20 "$dir/format.log" >&2
    die "could not format the storage in $dir/data"
  }
}

# Starts the process and waits until it says that it serves. 0: it serves, 1: it ended, 2: the time is over.
launch() {
  local deadline=$((SECONDS + start_limit_s)) pid
  : >"$dir/broker.log"
  # Its own process group: Ctrl-C at the terminal reaches the test, which ends its broker itself.
  set -m
  "${java[@]}" kafka.Kafka "$dir/server.properties" >"$dir/broker.log" 2>&1 </dev/null &
  pid=$!
  set +m
  disown "$pid"
  printf '%s\n' "$pid" >"$dir/pid"
  # The broker's own log says it, and no answer from the port, which might be another one's.
  while ! grep -q 'Kafka Server started' "$dir/broker.log"; do
    kill -0 "$pid" 2>/dev/null || return 1
    [ "$SECONDS" -lt "$deadline" ] || return 2
    sleep 0.05
  done
}

port_taken() { grep -q -e 'BindException' -e 'Address already in use' "$dir/broker.log"; }

give_up() {
  tail -n 30 "$dir/broker.log" >&2
  kill_broker
  die "$1; the end of $dir/broker.log stands above"
}

# --- commands ---------------------------------------------------------------------------------------------------

start() {
  local tied=${1:-} again='' result attempt
  case $tied in '' | --tied) ;; *) usage ;; esac
  running_pid >/dev/null && die "a broker runs in $dir already"
  # First of all: a start that is cut short leaves nothing behind either.
  if [ -n "$tied" ]; then tie; fi
  fetch
  java_command
  certificate
  [ -f "$dir/formatted" ] && again=yes
  for ((attempt = 1; attempt <= port_attempts; attempt++)); do
    if [ -z "$again" ]; then
      # shellcheck disable=SC2046 # Six words, on purpose.
      write_settings $(free_ports)
      format_storage
    fi
    result=0
    launch || result=$?
    [ "$result" -eq 2 ] && give_up "Kafka did not start within $start_limit_s s"
    [ "$result" -eq 0 ] && break
    port_taken || give_up "Kafka ended while starting"
    [ -z "$again" ] || give_up "the port of the broker in $dir is taken by another process"
  done
  [ "$result" -eq 0 ] || give_up "no free port after $port_attempts attempts"
  : >"$dir/formatted"
  cat "$dir/address"
}

# Waits in the background for the end of standard input, then removes the broker.
tie() {
  set -m
  (
    trap '' HUP INT TERM
    cat >/dev/null
    remove
  ) <&0 >/dev/null 2>&1 &
  disown $!
  set +m
}

stop() {
  local pid deadline=$((SECONDS + stop_limit_s))
  pid=$(running_pid) || { rm -f "$dir/pid"; return; }
  kill -TERM "$pid"
  kill -CONT "$pid" 2>/dev/null || true
  while running_pid >/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      kill_broker
      die "the broker in $dir did not stop within $stop_limit_s s and was killed"
    fi
    sleep 0.05
  done
  rm -f "$dir/pid"
}

kill_broker() {
  local pid
  if pid=$(running_pid); then
    kill -KILL "$pid"
    while running_pid >/dev/null; do sleep 0.02; done
  fi
  rm -f "$dir/pid"
}

signal() {
  local pid
  pid=$(running_pid) || die "no broker runs in $dir"
  kill "-$1" "$pid"
}

# Only what the broker made, never a file that somebody else put there.
remove() {
  kill_broker
  [ -f "$dir/server.properties" ] || return 0
  rm -rf "${dir:?}/data"
  (cd "$dir" && rm -f formatted ca.pem server.properties log4j2.properties address format.log broker.log)
  rmdir "$dir" 2>/dev/null || true
}

[ $# -ge 1 ] || usage
command=$1
shift
if [ "$command" = fetch ]; then
  [ $# -eq 0 ] || usage
  fetch
  exit
fi
[ $# -ge 1 ] || usage
[ $# -eq 1 ] || [ "$command" = start ] || usage
[ "$command" != start ] || mkdir -p "$1"
[ -d "$1" ] || die "no folder $1"
dir=$(cd "$1" && pwd -P)
shift
case $command in
  start) start "$@" ;;
  stop) stop ;;
  kill) kill_broker ;;
  pause) signal STOP ;;
  resume) signal CONT ;;
  address) cat "$dir/address" ;;
  remove) remove ;;
  *) usage ;;
esac
