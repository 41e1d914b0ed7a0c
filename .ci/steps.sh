# Sourced by the tiers: runs named steps, goes on after a failure, and counts.
passed=0
failed=0

# What has failed, a line each, told again at the very end: a tier below writes into the same file.
if [ -z "${EVERHOP_FAILURES:-}" ]; then
  mkdir -p .cache
  export EVERHOP_FAILURES="$PWD/.cache/failures.txt"
  : > "$EVERHOP_FAILURES"
  tells_failures=yes
fi

step() { # step NAME COMMAND…
  local name=$1 began=$SECONDS
  shift
  echo "── $name"
  if "$@"; then
    passed=$((passed + 1))
    echo "── $name: passed ($((SECONDS - began)) s)"
  else
    failed=$((failed + 1))
    echo "── $name: FAILED ($((SECONDS - began)) s)"
    echo "step: $name" >> "$EVERHOP_FAILURES"
  fi
}

# Adds the counts that a tier's last line reports, such as `12 passed, 1 failed`.
add_counts() { # add_counts FILE
  local line
  line=$(grep -aoE '[0-9]+ passed, [0-9]+ failed' "$1" | tail -n 1)
  if [ -z "$line" ]; then
    failed=$((failed + 1))
    return
  fi
  passed=$((passed + $(echo "$line" | grep -oE '^[0-9]+')))
  failed=$((failed + $(echo "$line" | grep -oE '[0-9]+ failed' | grep -oE '^[0-9]+')))
}

# The counts of a vitest run by its report in JSON: a suite counts by its tests, not as one step.
add_tests() { # add_tests FILE
  [ -f "$1" ] || return
  node -e '
    const fs = require("fs");
    const { numPassedTests, numFailedTests, testResults } = JSON.parse(fs.readFileSync(process.argv[1], "utf8"));
    console.log(`${numPassedTests} passed, ${numFailedTests || 0} failed`);
    for (const { name, status, message, assertionResults } of testResults) {
      const failed = assertionResults.filter((each) => each.status === "failed");
      const lines = failed.map(({ fullName, failureMessages: [why = ""] }) => `test: ${name}: ${fullName}: ${why}`);
      if (status === "failed" && lines.length === 0) lines.push(`file: ${name}: ${message}`);
      for (const line of lines) fs.appendFileSync(process.env.EVERHOP_FAILURES, `${line.slice(0, 1500)}\n`);
    }
  ' "$1" > "$1.count"
  add_counts "$1.count"
}

finish() {
  if [ "${tells_failures:-}" = yes ] && [ -s "$EVERHOP_FAILURES" ]; then
    echo "── what has failed:"
    cat "$EVERHOP_FAILURES"
  fi
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
