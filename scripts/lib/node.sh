# Node modules, among them `node`: a current Node for machines whose own is older than 24.

node_modules() {
  if cmp -s package-lock.json node_modules/.pyro-lock && scripts/find-node >/dev/null; then return 0; fi
  command -v npm >/dev/null || die 'npm is missing; install Node.js with npm, then run this again'
  say 'installing Node modules (npm ci)'
  npm ci --no-audit --no-fund --no-update-notifier --loglevel=error </dev/null >&2 || die 'npm ci failed'
  scripts/find-node >/dev/null || die 'no Node >= 24 after npm ci: were install scripts switched off? try: npm rebuild node'
  cp package-lock.json node_modules/.pyro-lock
}
