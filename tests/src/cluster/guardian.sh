# Ends the servers inside a folder.
#
#   guardian.sh FOLDER remove   first wait until standard input ends, which it does when the process at
#                               its other end is gone for whatever reason; then end the servers and
#                               remove the folder
#   guardian.sh FOLDER keep     end the servers at once and keep the folder
#
# A server process is known by its working folder: backends leave their postmaster's process group, and
# outlive a killed postmaster, but they never leave the data folder.

trap '' HUP INT QUIT TERM
folder=$1

processes() {
    if [ -e /proc/self/cwd ]; then
        ls -l /proc/[0-9]*/cwd 2>/dev/null | while read -r line; do
            case $line in
            */cwd" -> $folder" | */cwd" -> $folder/"*) pid=${line#*/proc/} && echo "${pid%%/*}" ;;
            esac
        done
    else
        lsof -a -d cwd -Fpn 2>/dev/null | while read -r line; do
            case $line in
            p*) pid=${line#p} ;;
            n"$folder" | n"$folder/"*) echo "$pid" ;;
            esac
        done
    fi
}

# The first line of postmaster.pid is the postmaster, the seventh tells its System V shared memory.
postmasters() {
    for file in "$folder"/postmaster.pid "$folder"/*/postmaster.pid; do
        [ -f "$file" ] && head -n 1 "$file"
    done
}

shared_memory() {
    for file in "$folder"/postmaster.pid "$folder"/*/postmaster.pid; do
        [ -f "$file" ] && sed -n '7s/.* //p' "$file"
    done
}

if [ "$2" = remove ]; then
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

memory=$(shared_memory)
tries=0
while alive=$(processes) && [ -n "$alive" ] && [ $tries -lt 500 ]; do
    kill -KILL $alive 2>/dev/null
    sleep 0.01
    tries=$((tries + 1))
done
for id in $memory; do
    ipcrm -m "$id" 2>/dev/null
done

if [ "$2" = remove ]; then
    tries=0
    while ! rm -rf "$folder" && [ $tries -lt 100 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
fi
exit 0
