/** Completion for zsh, with a few words about each choice. */
import { quoted, specOf } from './spec.ts'
import type { Entry } from './table.ts'

export function zshScript(entries: Entry[], heading: string): string {
  return `#compdef pyro
# ${heading}
${DATA_HEAD}
${entries.map(entryText).join('\n')}
${REST}`
}

/** `_describe` separates a word from what is said of it by a colon. */
const described = (word: string, help: string) =>
  quoted(`${word.replaceAll(':', '\\:')}:${firstSentence(help)}`)
const firstSentence = (help: string) => (/^.*?[.:;](?= |$)/.exec(help)?.[0] ?? help).replace(/[.:;]$/, '')

function entryText({ path, subcommands, positionals, flags, rest }: Entry): string {
  const list = (indent: string, items: string[]) => items.map((item) => `\n${indent}${item}`).join('')
  const valued = flags.flatMap(({ flag, takes }) =>
    takes === 'nothing' ? [] : [[`--${flag}`, specOf(takes)]],
  )
  const shorts = flags.flatMap(({ short, help }) =>
    short === undefined ? [] : [described(`-${short}`, help)],
  )
  return [
    `    ${quoted(path)})`,
    `      subcommands=(${list(
      '        ',
      subcommands.map(({ name, help }) => described(name, help)),
    )})`,
    `      positionals=(${positionals.map(specOf).map(quoted).join(' ')})`,
    `      flags=(${list('        ', [...flags.map(({ flag, help }) => described(`--${flag}`, help)), ...shorts])})`,
    `      valued=(${valued.flat().map(quoted).join(' ')})`,
    `      rest=${rest ? 1 : 0} ;;`,
  ].join('\n')
}

const DATA_HEAD = `
# Sets what may follow the words $1. A value is "=a,b" (one of these), "-" (anything), or what is asked for.
_pyro_entry() {
  case $1 in`

const REST = `    *) return 1 ;;
  esac
}

_pyro_values() {
  local -a values
  local value help
  case $1 in
    -) _message value ;;
    '='*) values=(\${(s:,:)\${1#=}}); compadd -a values ;;
    file) _files ;;
    *)
      while IFS=$'\\t' read -r value help; do
        values+=("\${value//:/\\\\:}:$help")
      done < <("$program" __complete "$1" \${first:+"$first"} 2>/dev/null)
      _describe "$1" values ;;
  esac
}

_pyro() {
  local program=\${(Q)words[1]} first= entry= word wanted= rest
  local -i at=0 ended=0 i
  local -a subcommands positionals flags
  local -A valued

  _pyro_entry ''
  for ((i = 2; i < CURRENT; i++)); do
    word=\${(Q)words[i]}
    if ((ended)); then continue; fi
    if [[ -n $wanted ]]; then wanted=; continue; fi
    case $word in
      --) ended=1 ;;
      -*=*) ;;
      -*) wanted=\${valued[$word]} ;;
      *)
        if [[ -n \${(M)subcommands:#$word:*} ]]; then
          entry=\${entry:+$entry }$word
          _pyro_entry "$entry" || return 1
        else
          ((at)) || first=$word
          ((++at))
        fi ;;
    esac
  done

  word=\${(Q)words[CURRENT]}
  if ((ended)); then
    ((!rest)) || _files
  elif [[ -n $wanted ]]; then
    _pyro_values "$wanted"
  elif [[ $word = --*=* && -n \${valued[\${word%%=*}]} ]]; then
    compset -P '*='
    _pyro_values "\${valued[\${word%%=*}]}"
  elif [[ $word = -* ]]; then
    _describe -o flag flags
  else
    ((!\${#subcommands})) || _describe command subcommands
    ((at >= \${#positionals})) || _pyro_values "\${positionals[at + 1]}"
  fi
}

# Sourced it is for later; called by its name, as from fpath, for now.
if [[ $funcstack[1] = _pyro ]]; then _pyro "$@"; else compdef _pyro pyro; fi
`
