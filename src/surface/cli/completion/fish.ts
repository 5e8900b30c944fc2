/** Completion for fish 3 and newer. */
import type { Entry, Values } from './table.ts'

export function fishScript(entries: Entry[], heading: string): string {
  return `# ${heading}
${HEAD(entries)}
${entries.flatMap(entryLines).join('\n')}
`
}

const quoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`
const firstSentence = (help: string) => (/^.*?[.:;](?= |$)/.exec(help)?.[0] ?? help).replace(/[.:;]$/, '')

function entryLines({ path, subcommands, positionals, flags, rest }: Entry): string[] {
  const line = (condition: string, ...words: string[]) =>
    `complete -c pyro -n ${quoted(`__pyro_at ${condition}`)} ${words.join(' ')}`
  const here = quoted(path)
  return [
    ...subcommands.map(({ name, help }) =>
      line(`${here} 0`, '-f', '-a', quoted(name), '-d', quoted(firstSentence(help))),
    ),
    ...positionals.map((values, at) => line(`${here} ${at}`, ...argument(values))),
    ...flags.map(({ flag, short, help, takes }) =>
      line(
        here,
        '-l',
        flag,
        ...(short === undefined ? [] : ['-s', short]),
        ...(takes === 'nothing' ? [] : ['-r', ...argument(takes)]),
        '-d',
        quoted(firstSentence(help)),
      ),
    ),
    ...(rest ? [line(`${here} rest`, '-F')] : []),
  ]
}

function argument(values: Values): string[] {
  if (values === null) return ['-f']
  if ('choices' in values) return ['-f', '-a', quoted(values.choices.join(' '))]
  return values.ask === 'file' ? ['-F'] : ['-f', '-a', quoted(`(__pyro_ask ${values.ask})`)]
}

const HEAD = (entries: Entry[]) => {
  const paths = entries.map(({ path }) => quoted(path)).join(' ')
  const valued = [
    ...new Set(
      entries.flatMap(({ flags }) =>
        flags.flatMap(({ flag, takes }) => (takes === 'nothing' ? [] : [`--${flag}`])),
      ),
    ),
  ]
  return `
# Prints the command that the line has come to, how many arguments follow it ("rest" behind --), and the first of these.
function __pyro_state
    set -l path ''
    set -l count 0
    set -l first ''
    set -l wanted 0
    for word in (commandline -opc)[2..-1]
        if test $wanted = 1
            set wanted 0
            continue
        end
        switch $word
            case --
                set count rest
                break
            case '-*=*'
            case '-*'
                contains -- $word ${valued.join(' ')}
                and set wanted 1
            case '*'
                set -l longer (string trim -- "$path $word")
                if test $count = 0; and contains -- $longer ${paths}
                    set path $longer
                else
                    test $count = 0
                    and set first $word
                    set count (math $count + 1)
                end
        end
    end
    printf '%s\\n' $path $count $first
end

# Whether the line has come to the command $argv[1], and, where it is given, to its argument number $argv[2].
function __pyro_at
    set -l state (__pyro_state)
    test "$state[1]" = "$argv[1]"
    or return 1
    test (count $argv) = 1 -a "$state[2]" != rest -o "$state[2]" = "$argv[2]"
end

function __pyro_ask
    set -l state (__pyro_state)
    set -l program (commandline -opc)[1]
    if test -n "$state[3]"
        $program __complete $argv[1] $state[3] 2>/dev/null
    else
        $program __complete $argv[1] 2>/dev/null
    end
end

complete -c pyro -f`
}
