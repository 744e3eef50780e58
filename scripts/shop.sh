# Sourced by the demos: the Django shop in examples/ under gunicorn, load on it, and their end. Nothing is left behind: all of
# it lives in a temporary folder and on a loopback port that the kernel chose. The demo sets `demo`, its name, and $1 is the
# program of ours to use; `launcher`, where it is set, is what gunicorn is started through.
die()
{
	printf '%s: %s\n' "$demo" "$*" >&2
	exit 1
}

[ $# -eq 1 ] || die "usage: scripts/$demo PROGRAM"
program=$(realpath -e "$1") || die "there is no $1; make build makes it"
launcher=()
shop=$(realpath "$(dirname "$0")/../examples/django-shop")
work="" server="" load=""

# Ends one process that this script started, and waits for it. One that does not end by itself is killed after 10 s.
end()
{
	local pid=$1 tries
	kill -TERM "$pid" 2>/dev/null || true
	for ((tries = 0; tries < 100; tries++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}

clean_up()
{
	trap '' INT TERM HUP
	[ -z "$load" ] || end "$load"
	[ -z "$server" ] || end "$server"
	[ -z "$work" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Debian's Python, Django and gunicorn, whatever else PATH and the environment offer.
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP DJANGO_SETTINGS_MODULE GUNICORN_CMD_ARGS
export PYTHONDONTWRITEBYTECODE=1
work=$(mktemp -d)
export SHOP_DB=$work/shop.sqlite3

# Sets server and port.
start_shop()
{
	/usr/bin/python3 "$shop/manage.py" migrate --verbosity 0
	/usr/bin/python3 "$shop/manage.py" seed
	"${launcher[@]}" /usr/bin/python3 /usr/bin/gunicorn --chdir "$shop" --workers 2 --worker-class sync --bind 127.0.0.1:0 \
		--log-file "$work/gunicorn.log" shop.wsgi >"$work/gunicorn.out" 2>&1 &
	server=$!
	local tries
	for ((tries = 0; tries < 300; tries++)); do
		port=$(sed -n 's/.*Listening at: http:\/\/127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/gunicorn.log" 2>/dev/null) || true
		[ -z "$port" ] || return 0
		kill -0 "$server" 2>/dev/null || break
		sleep 0.1
	done
	cat "$work/gunicorn.out" "$work/gunicorn.log" >&2 || true
	die "gunicorn did not start"
}

start_load()
{
	/usr/bin/python3 "$shop/load.py" "$port" "$@" >"$work/load" 2>&1 &
	load=$!
}

# Waits for the load to end, or ends it, and says how fast the pages came meanwhile.
end_load()
{
	local status=0
	[ "$1" = wait ] || kill -TERM "$load" 2>/dev/null || true
	wait "$load" || status=$?
	load=
	printf '%s: %s\n' "$2" "$(cat "$work/load")"
	[ $status -eq 0 ] || die "pages of the shop failed"
}

# The command that follows, as one would type it.
print_command()
{
	local word
	printf '\n$ %s' "${program##*/}"
	for word; do
		case $word in
		*[!a-zA-Z0-9_./,:-]*) printf " '%s'" "$word" ;;
		*) printf ' %s' "$word" ;;
		esac
	done
	printf '\n'
}
