// The completion script for zsh. Pure. Source: zshcompsys(1), zshcompwid(1).

import { PROGRAM_NAMES } from './completion-model.ts';
import { formatWalk } from './completion-walk.ts';

/** The script: to be sourced behind compinit, or a file named _pointsman_ipvsadm on fpath. */
export function formatZshCompletion(): string {
  return `#compdef ${PROGRAM_NAMES.join(' ')}
# zsh completion for ipvsadm, pointsman-ipvsadm and pointsman ipvsadm; made by "pointsman-ipvsadm completion zsh".

${formatWalk()}
_pointsman_ipvsadm() {
  local program=\${\${(Q)words[1]}:t} cur=\${(Q)PREFIX} inline= list= files= i
  local -a typed candidates descriptions values described
  typed=("\${(@Q)words[2,CURRENT-1]}")
  if [[ $program == pointsman ]]; then
    if ((CURRENT == 2)); then
      if [[ -n $cur && ipvsadm == "$cur"* ]]; then compadd -- ipvsadm; else _default; fi
      return
    fi
    if [[ $typed[1] != ipvsadm ]]; then
      _default
      return
    fi
    shift typed
  fi
  _pointsman_ipvsadm_complete
  if [[ -n $files ]]; then
    _files
    return
  fi
  if [[ -n $inline$list ]]; then compset -p $(( \${#inline} + \${#list} )); fi
  if (( $#values )); then
    if [[ -n $list ]]; then
      compadd -S '' -a values
    else
      compadd -a values
    fi
    return
  fi
  (( $#candidates )) || return 1
  for ((i = 1; i <= $#candidates; i++)); do described+=("$candidates[i]:$descriptions[i]"); done
  _describe option described
}

if [[ $funcstack[1] == _pointsman_ipvsadm ]]; then
  _pointsman_ipvsadm "$@"
else
  compdef _pointsman_ipvsadm ${PROGRAM_NAMES.join(' ')}
fi
`;
}
