# Sourced by `miri` and `tsan`: runs that must pass, and faults, planted in a copy, that must be reported.

export CARGO_TERM_COLOR=never
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
target=$(cd "$target" && pwd)
# Below the target directory and always the same, so that cargo finds what it built of the dependencies.
copy=$target/planted
log=$target/planted.log

fail() {
  printf 'failed: %s\n' "$1"
  exit 1
}

# checked NAME COMMAND...: the command passes, and at least one test has run.
checked() {
  local name=$1 began=$SECONDS
  shift
  if ! "$@" >"$log" 2>&1; then
    grep -v -e '^ *Compiling' -e '^test .* ok$' "$log" | head -n 120
    fail "$name"
  fi
  local runs
  runs=$(grep -c 'test result: ok\. [1-9]' "$log") || fail "$name has run no test"
  printf '%s: %s passes, no report, %s s\n' "$name" "$runs" "$((SECONDS - began))"
}

# planted NAME FILE SED-EXPRESSION REPORT COMMAND...: with the file changed, the command fails with that report.
planted() {
  local name=$1 file=$2 change=$3 report=$4 began=$SECONDS
  shift 4
  rm -rf "$copy"
  mkdir -p "$copy"
  # With new times: cargo compares them, and the last fault was younger than what was sound.
  tar -cf - --exclude=./.git --exclude=./target . | tar -xmf - -C "$copy"
  sed -i "$change" "$copy/$file"
  if cmp -s "$file" "$copy/$file"; then fail "there is nothing to plant in $file: $change"; fi
  if (cd "$copy" && CARGO_TARGET_DIR=$target "$@") >"$log" 2>&1; then fail "planted, and not reported: $name"; fi
  if ! grep -q "$report" "$log"; then
    tail -n 60 "$log"
    fail "planted, and something else reported: $name"
  fi
  printf 'planted: %s: reported, %s s: %s\n' "$name" "$((SECONDS - began))" "$(grep -m 1 "$report" "$log")"
  rm -rf "$copy"
}
