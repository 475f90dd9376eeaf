// The completion script for bash. Pure. Source: bash(1), Programmable Completion.

import { PROGRAM_NAMES } from './completion-model.ts';
import { formatWalk } from './completion-walk.ts';

/** The script, to be sourced: `source <(pointsman-ipvsadm completion bash)`. */
export function formatBashCompletion(): string {
  return `# bash completion for ipvsadm, pointsman-ipvsadm and pointsman ipvsadm; made by "pointsman-ipvsadm completion bash".

${formatWalk()}
# Sets "typed" to the words before the cursor and "cur" to the one at it, up to it. Bash divides words at : and =, too: what stands
# together on the line is put together again.
_pointsman_ipvsadm_words() {
  local rest=\${COMP_LINE:0:COMP_POINT} word before i
  for ((i = 0; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    before=\${rest%%"$word"*}
    rest=\${rest#*"$word"}
    if ((i == 0)) || [[ -n $before ]]; then
      typed+=("$word")
    else
      typed[\${#typed[@]}-1]+=$word
    fi
  done
  if [[ $rest == [[:blank:]]* ]]; then
    cur=\${rest#"\${rest%%[![:blank:]]*}"}
  else
    cur=\${typed[\${#typed[@]}-1]}$rest
    unset "typed[\${#typed[@]}-1]"
  fi
  typed=("\${typed[@]:1}")
  # Quotes and backslashes are the user's way to write the same text.
  typed=("\${typed[@]//[\\\\\\"\\']/}")
  cur=\${cur//[\\\\\\"\\']/}
}

_pointsman_ipvsadm() {
  local program=\${1##*/} cur= inline= list= files= value joined
  local -a typed=() candidates=() descriptions=() values=()
  COMPREPLY=()
  _pointsman_ipvsadm_words
  if [[ $program == pointsman ]]; then
    if [[ \${#typed[@]} -eq 0 ]]; then
      if [[ -n $cur && ipvsadm == "$cur"* ]]; then COMPREPLY=(ipvsadm); else compopt -o default 2> /dev/null; fi
      return 0
    fi
    if [[ \${typed[0]} != ipvsadm ]]; then
      compopt -o default 2> /dev/null
      return 0
    fi
    typed=("\${typed[@]:1}")
  fi
  _pointsman_ipvsadm_complete
  if [[ -n $files ]]; then
    compopt -o filenames 2> /dev/null
    while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "$2")
    return 0
  fi
  if [[ -n $list ]]; then compopt -o nospace 2> /dev/null; fi
  for value in "\${values[@]}"; do candidates+=("$inline$list$value"); done
  # What bash will replace is only $2, the end of the word.
  joined=\${cur%"\${2//[\\\\\\"\\']/}"}
  for value in "\${candidates[@]}"; do
    if [[ $value != "$cur"* ]]; then continue; fi
    value=\${value#"$joined"}
    # A bracket would be a pattern.
    if [[ $value == '['* && $2 != '['* ]]; then value="\\\\$value"; fi
    COMPREPLY+=("$value")
  done
}

complete -F _pointsman_ipvsadm ${PROGRAM_NAMES.join(' ')}
`;
}
