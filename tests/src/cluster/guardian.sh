# Ends the servers inside a folder.
#
#   guardian.sh FOLDER watch   make the folder and say so; wait until standard input ends, which it does when
#                              the process at its other end is gone for whatever reason; then end the
#                              servers and remove the folder
#   guardian.sh FOLDER sweep   end the servers at once
#
# A server process is known by its working folder: backends leave their postmaster's process group, and
# outlive a killed postmaster, but they never leave the data folder. The name spares the shell and the editor
# of somebody who looks around in there; the short names are what sets the folder up.

# Nothing but our own end ends us, not even the end of the one we tell that we are ready.
trap '' HUP INT PIPE QUIT TERM
folder=$1

is_ours() {
    case $1 in
    *postgres* | *initdb* | sh | cp | cat) return 0 ;;
    esac
    return 1
}

processes() {
    if [ -e /proc/self/cwd ]; then
        ls -l /proc/[0-9]*/cwd 2>/dev/null | while read -r line; do
            case $line in
            */cwd" -> $folder" | */cwd" -> $folder/"*)
                pid=${line#*/proc/} && pid=${pid%%/*}
                read -r name 2>/dev/null <"/proc/$pid/comm" && is_ours "$name" && echo "$pid"
                ;;
            esac
        done
    else
        lsof -a -d cwd -Fpcn 2>/dev/null | while read -r line; do
            case $line in
            p*) pid=${line#p} ;;
            c*) name=${line#c} ;;
            n"$folder" | n"$folder/"*) is_ours "$name" && echo "$pid" ;;
            esac
        done
    fi
}

# The first line of postmaster.pid is the postmaster.
postmasters() {
    for file in "$folder"/postmaster.pid "$folder"/*/postmaster.pid; do
        [ -f "$file" ] && head -n 1 "$file"
    done
}

# What killed processes leave behind in the system's memory. System V segments have a number: postmaster.pid
# tells it in its seventh line, and Linux shows it as the inode of the mapping. POSIX segments are files, which
# are mapped or, in their first moment, only open.
shared_memory() {
    for file in "$folder"/postmaster.pid "$folder"/*/postmaster.pid; do
        [ -f "$file" ] && sed -n '7s/.* //p' "$file"
    done
    for pid in "$@"; do
        cat "/proc/$pid/maps" 2>/dev/null
    done | while read -r _ _ _ _ inode name _; do
        case $name in
        /SYSV*) echo "$inode" ;;
        /dev/shm/PostgreSQL.*) echo "$name" ;;
        esac
    done
    for pid in "$@"; do
        ls -l "/proc/$pid/fd" 2>/dev/null
    done | sed -n 's|.* -> \(/dev/shm/PostgreSQL\.[0-9]*\)$|\1|p'
}

if [ "$2" = watch ]; then
    mkdir -m 700 "$folder" || exit 1
    echo ready
    while read -r _; do :; done
fi

# Politely first, as only a postmaster that ends itself gives its System V memory back.
alive=$(processes)
tries=50
for pid in $(postmasters); do
    case " $(echo $alive) " in
    *" $pid "*) kill -QUIT "$pid" 2>/dev/null && tries=0 ;;
    esac
done
[ -n "$alive" ] && kill -CONT $alive 2>/dev/null
while [ -n "$alive" ] && [ $tries -lt 50 ]; do
    sleep 0.01
    alive=$(processes)
    tries=$((tries + 1))
done

# Then by force. They must stand still while we look at what they have.
memory=$(shared_memory)
tries=0
while alive=$(processes) && [ -n "$alive" ] && [ $tries -lt 500 ]; do
    kill -STOP $alive 2>/dev/null
    memory="$memory $(shared_memory $alive)"
    kill -KILL $alive 2>/dev/null
    sleep 0.01
    tries=$((tries + 1))
done
for segment in $(echo "$memory" | tr ' ' '\n' | sort -u); do
    case $segment in
    /*) rm -f "$segment" ;;
    *) ipcrm -m "$segment" 2>/dev/null ;;
    esac
done

if [ "$2" = watch ]; then
    tries=0
    while ! rm -rf "$folder" && [ $tries -lt 100 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
fi
exit 0
