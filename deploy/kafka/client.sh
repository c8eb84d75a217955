# Topics and records, by Kafka's own command line tools. Sourced by deploy/kafka/kafka, never run.

client_usage() {
    cat <<TEXT
deploy/kafka/kafka topic create NAME [--partitions N] [--config KEY=VALUE]...
    creates a topic, with one partition unless told otherwise; one that is there is left as it is.
deploy/kafka/kafka topic list            prints the names of all topics
deploy/kafka/kafka topic describe NAME   prints its partitions and settings
deploy/kafka/kafka topic delete NAME     deletes it with all its records
deploy/kafka/kafka produce TOPIC [--separator TEXT | --no-keys] [--null TEXT]
    writes each line of the standard input as a record: the text before the first separator (':') is its key, the rest
    its value. With --no-keys the whole line is the value. A key or value that reads TEXT is Kafka's null.
deploy/kafka/kafka consume TOPIC [--count N] [--idle-ms MS] [--separator TEXT] [--keys TYPE] [--values TYPE]
    prints the committed records from the beginning, a line each, key first; ends after N records, or when none came for
    MS (10000). TYPE is string, long, integer, short, double, float or uuid, as Kafka's serializers write them. What is
    null is printed as 'null'.
    Each of them takes --dir DIR (of a broker started by this script) or --bootstrap-servers HOST:PORT; without either
    the variable MILLSTREAM_BOOTSTRAP_SERVERS counts.
TEXT
}

# The address of the broker that is meant.
bootstrap() {
    if [ -n "$dir" ]; then
        needs_dir
        running_pid >/dev/null || die "no broker runs in $dir"
        printf '127.0.0.1:%s\n' "$(cat "$dir/port")"
    elif [ -n "${servers:-${MILLSTREAM_BOOTSTRAP_SERVERS:-}}" ]; then
        printf '%s\n' "${servers:-$MILLSTREAM_BOOTSTRAP_SERVERS}"
    else
        die "$verb needs --dir DIR or --bootstrap-servers HOST:PORT"
    fi
}

# tool CLASS ARGUMENT...: what it logs goes to the standard error, errors only.
tool() {
    local class=$1
    shift
    java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true -Dkafka.log.target=SYSTEM_ERR \
        "-Dkafka.log.level=$log_level" "-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$jars/*" \
        "org.apache.kafka.tools.$class" "$@"
}

# topic_tool ARGUMENT...: it tells its errors where its results go, and logs them once more.
topic_tool() {
    local told
    told=$(log_level=off tool TopicCommand "$@") || die "${told#Error while executing topic command : }"
    [ -z "$told" ] || printf '%s\n' "$told"
}

# The tools that read and write wait long for a topic that is not there.
check_topic() { topic_tool --bootstrap-server "$at" --describe --topic "${1//./\\.}" >/dev/null; }

# The tool takes the name for a pattern where it looks for topics; the dot is all that names and patterns share.
check_name() {
    case $1 in
        '') die "$verb needs the name of a topic" ;;
        *[!A-Za-z0-9._-]*) die "'$1' is no name of a topic: it has letters, digits, '.', '_' and '-'" ;;
    esac
}

# Leaves out what is said at every use: an advertisement, and that nothing came for as long as was asked.
without_chatter() {
    sed -e '/^The consumer rebalance protocol/d' -e '/terminating consumer process/{N;/TimeoutException$/d}'
}

serializer_name() {
    case $1 in
        string | long | integer | short | double | float) printf '%s\n' "${1^}" ;;
        uuid) printf 'UUID\n' ;;
        *) die "--$2 takes string, long, integer, short, double, float or uuid, not '$1'" ;;
    esac
}

is_count() { case $1 in '' | *[!0-9]* | 0*) return 1 ;; esac; }

topic() {
    local action=$1 name=$2 at config settings=()
    case $action in
        create | describe | delete) check_name "$name" ;;
        list) [ -z "$name" ] || die "topic list takes no name" ;;
        *) client_usage >&2; die "unknown: topic '$action'" ;;
    esac
    is_count "$partitions" || die "--partitions takes a number from 1, not '$partitions'"
    at=$(bootstrap)
    jars=$(fetch)
    case $action in
        create)
            for config in "${configs[@]}"; do settings+=(--config "$config"); done
            topic_tool --bootstrap-server "$at" --create --if-not-exists --topic "$name" \
                --partitions "$partitions" "${settings[@]}"
            ;;
        list) topic_tool --bootstrap-server "$at" --list ;;
        *) topic_tool --bootstrap-server "$at" "--$action" --topic "${name//./\\.}" ;;
    esac
}

produce() {
    local at options=()
    check_name "$1"
    if [ "$keys" = no ]; then
        options+=(--reader-property parse.key=false)
    else
        options+=(--reader-property parse.key=true --reader-property "key.separator=$separator")
    fi
    [ -z "$null" ] || options+=(--reader-property "null.marker=$null")
    at=$(bootstrap)
    jars=$(fetch)
    check_topic "$1"
    tool ConsoleProducer --bootstrap-server "$at" --topic "$1" --sync --command-property acks=all \
        "${options[@]}"
}

consume() {
    local at key value options=()
    check_name "$1"
    [ -z "$count" ] || is_count "$count" || die "--count takes a number from 1, not '$count'"
    is_count "$idle_ms" || die "--idle-ms takes a number from 1, not '$idle_ms'"
    key=$(serializer_name "$key_type" keys)
    value=$(serializer_name "$value_type" values)
    [ -z "$count" ] || options+=(--max-messages "$count")
    at=$(bootstrap)
    jars=$(fetch)
    check_topic "$1"
    {
        tool consumer.ConsoleConsumer --bootstrap-server "$at" --topic "$1" --from-beginning \
            --isolation-level read_committed --timeout-ms "$idle_ms" "${options[@]}" \
            --formatter-property print.key=true --formatter-property "key.separator=$separator" \
            --formatter-property "key.deserializer=org.apache.kafka.common.serialization.${key}Deserializer" \
            --formatter-property "value.deserializer=org.apache.kafka.common.serialization.${value}Deserializer" \
            2>&1 >&3 3>&- | without_chatter >&2
    } 3>&1
}

# client VERB ARGUMENT...
client() {
    local verb=$1 words=() servers='' partitions=1 configs=() separator=: keys=yes null='' count='' idle_ms=10000
    local key_type=string value_type=string jars log_level=error
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            -h | --help) client_usage; return ;;
            --no-keys) keys=no; shift; continue ;;
            --*) [ $# -ge 2 ] || { client_usage >&2; die "$1 needs a value"; } ;;
            *) words+=("$1"); shift; continue ;;
        esac
        case $verb$1 in
            *--dir) dir=$2 ;;
            *--bootstrap-servers) servers=$2 ;;
            topic--partitions) partitions=$2 ;;
            topic--config) configs+=("$2") ;;
            produce--separator | consume--separator) separator=$2 ;;
            produce--null) null=$2 ;;
            consume--count) count=$2 ;;
            consume--idle-ms) idle_ms=$2 ;;
            consume--keys) key_type=$2 ;;
            consume--values) value_type=$2 ;;
            *) client_usage >&2; die "$verb has no option $1" ;;
        esac
        shift 2
    done
    [ "$keys" = yes ] || [ "$verb" = produce ] || die "$verb has no option --no-keys"
    if [ "$verb" = topic ]; then
        [ ${#words[@]} -le 2 ] || die "topic takes one name, not: ${words[*]:1}"
        topic "${words[0]:-}" "${words[1]:-}"
    else
        [ ${#words[@]} -le 1 ] || die "$verb takes one topic, not: ${words[*]}"
        "$verb" "${words[0]:-}"
    fi
}
