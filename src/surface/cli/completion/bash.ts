/** Completion for bash 4 and newer, without the bash-completion package. */
import { quoted, specOf } from './spec.ts'
import type { Entry } from './table.ts'

export function bashScript(entries: Entry[], heading: string): string {
  return `# ${heading}
${DATA_HEAD}
${entries.map(entryText).join('\n')}
${REST}`
}

function entryText({ path, subcommands, positionals, flags, rest }: Entry): string {
  const plain = flags.filter(({ takes }) => takes === 'nothing')
  const valued = flags.flatMap(({ flag, takes }) =>
    takes === 'nothing' ? [] : [`--${flag} ${specOf(takes)}`],
  )
  const short = plain.flatMap(({ short }) => (short === undefined ? [] : [`-${short}`]))
  return [
    `    ${quoted(path)})`,
    `      words=(${subcommands.map(({ name }) => name).join(' ')})`,
    `      positionals=(${positionals.map(specOf).map(quoted).join(' ')})`,
    `      plain=(${[...plain.map(({ flag }) => `--${flag}`), ...short].join(' ')})`,
    `      valued=(${valued.map(quoted).join(' ')})`,
    `      rest=${rest ? 1 : 0} ;;`,
  ].join('\n')
}

const DATA_HEAD = `
# Sets what may follow the words $1. A value is "=a,b" (one of these), "-" (anything), or what is asked for.
_pyro_entry() {
  case $1 in`

// Candidates never go through compgen -W, which would expand what is in them.
const REST = `    *) return 1 ;;
  esac
}

# Offers the values of the kind $1 that begin with $2, each behind $3.
_pyro_values() {
  local value words
  case $1 in
    -) ;;
    =*)
      local IFS=,
      for value in \${1#=}; do [[ $value != "$2"* ]] || COMPREPLY+=("$3$value"); done ;;
    file)
      compopt -o filenames 2>/dev/null
      while IFS= read -r value; do COMPREPLY+=("$3$value"); done < <(compgen -f -- "$2") ;;
    *)
      while IFS=$'\\t' read -r value words; do
        [[ $value != "$2"* ]] || COMPREPLY+=("$3$value")
      done < <("$program" __complete "$1" \${first:+"$first"} 2>/dev/null) ;;
  esac
}

_pyro() {
  local program=$1 first= path= cur word flag values wanted= at=0 ended=0 i
  local -a line words positionals plain valued
  local rest
  COMPREPLY=()

  # bash cuts words at : and = as well; here they are whole again, up to the cursor.
  local left=\${COMP_LINE:0:COMP_POINT} next
  for ((i = 0; i <= COMP_CWORD; i++)); do
    next=\${left#"\${left%%[![:blank:]]*}"}
    word=\${COMP_WORDS[i]}
    [[ \${#word} -le \${#next} ]] || word=$next
    if ((i > 0)) && [[ $next = "$left" && -n $word ]]; then line[\${#line[@]}-1]+=$word; else line+=("$word"); fi
    left=\${next#"$word"}
  done
  cur=\${line[\${#line[@]}-1]}

  _pyro_entry ''
  for ((i = 1; i < \${#line[@]} - 1; i++)); do
    word=\${line[i]}
    if ((ended)); then continue; fi
    if [[ -n $wanted ]]; then wanted=; continue; fi
    case $word in
      --) ended=1 ;;
      -*=*) ;;
      -*) for flag in "\${valued[@]}"; do [[ \${flag% *} != "$word" ]] || wanted=\${flag#* }; done ;;
      *)
        if ((\${#words[@]})) && [[ " \${words[*]} " = *" $word "* ]]; then
          path=\${path:+$path }$word
          _pyro_entry "$path" || return
        else
          ((at)) || first=$word
          ((++at))
        fi ;;
    esac
  done

  if ((ended)); then
    ((!rest)) || _pyro_values file "$cur" ''
  elif [[ -n $wanted ]]; then
    _pyro_values "$wanted" "$cur" ''
  elif [[ $cur = --*=* ]]; then
    for flag in "\${valued[@]}"; do
      [[ \${flag% *} != "\${cur%%=*}" ]] || _pyro_values "\${flag#* }" "\${cur#*=}" "\${cur%%=*}="
    done
  elif [[ $cur = -* ]]; then
    for word in "\${plain[@]}" "\${valued[@]% *}"; do [[ $word != "$cur"* ]] || COMPREPLY+=("$word"); done
  else
    for word in "\${words[@]}"; do [[ $word != "$cur"* ]] || COMPREPLY+=("$word"); done
    ((at >= \${#positionals[@]})) || _pyro_values "\${positionals[at]}" "$cur" ''
  fi

  # What bash replaces begins behind its last cut.
  local cut=\${cur%"\${cur##*[:=]}"}
  if [[ -n $cut && $COMP_WORDBREAKS = *[:=]* ]]; then COMPREPLY=("\${COMPREPLY[@]#"$cut"}"); fi
}
complete -F _pyro pyro
`
