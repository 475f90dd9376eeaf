// The part of the completion scripts that bash and zsh read alike: the tables as `case` commands, and the walk over the words before the
// cursor. It is written in what both mean the same by; all variables are locals of the function that calls it. What the user typed and
// what the table holds is only ever compared and printed, never evaluated. Pure.

import {
  formatAlphabets,
  formatOffers,
  formatSchedulerFlags,
  formatSources,
  quote,
} from './completion-cases.ts';
import { COMMANDS, completionSituations, SERVICE_SPELLINGS } from './completion-model.ts';
import { MAX_RULES_READ, MAX_VALUES, verbNames } from './completion-sources.ts';

/** The functions, for `source` at the top of a script. Every name begins with _pointsman_ipvsadm_. */
export function formatWalk(): string {
  const situations = completionSituations();
  return `# Sets "id" and "takes" for the switch $2 of the alphabet $1; fails when there is none.
_pointsman_ipvsadm_switch() {
  case "$1 $2" in
${formatAlphabets()}
    *) return 1 ;;
  esac
}

# Offers spellings of one switch: HELP NEEDS SPELLING... . HIDING...
_pointsman_ipvsadm_offer() {
  local help=$1 needs=$2 spelling
  local -a spellings
  shift 2
  [[ -z $needs || $used == *" $needs "* ]] || return 0
  while [[ $1 != . ]]; do
    spellings+=("$1")
    shift
  done
  shift
  for spelling in "$@"; do
    if [[ $used == *" $spelling "* ]]; then return 0; fi
  done
  for spelling in "\${spellings[@]}"; do
    candidates+=("$spelling")
    descriptions+=("$help")
  done
}

# Offers commands and verbs.
_pointsman_ipvsadm_offer_commands() {
${situations.map(({ spellings, help }) => `  _pointsman_ipvsadm_offer ${quote(help)} '' ${spellings.join(' ')} .`).join('\n')}
}

# Offers the switches that go with "command".
_pointsman_ipvsadm_offer_switches() {
  case $command in
${situations
  .filter(({ offers }) => offers.length > 0)
  .map(formatOffers)
  .join('\n')}
  esac
}

# Sets "origin" to where the values of the switch $1 of "command" come from ('' = the command's own), and "values" to those that are known.
_pointsman_ipvsadm_source() {
  origin=none
  values=()
  case "$command $1" in
${formatSources(situations)}
  esac
}

# Sets "values" to the flags that go with the scheduler on the line.
_pointsman_ipvsadm_scheduler_flags() {
  case $scheduler in
${formatSchedulerFlags()}
  esac
}

# Sets "values" to those of the flags $@ that "list" does not have.
_pointsman_ipvsadm_new_flags() {
  local flag
  values=()
  for flag in "$@"; do
    if [[ ,$list != *",$flag,"* ]]; then values+=("$flag"); fi
  done
}

# Notes that the switch "id" has been given, and with it the value $1.
_pointsman_ipvsadm_note() {
  case $id in
${Object.entries(SERVICE_SPELLINGS)
  .map(([id, spelling]) => `    ${id}) virtual_option=${spelling} virtual=$1 ;;`)
  .join('\n')}
    scheduler) scheduler=$1 ;;
    tun-type) used+="$id=$1 " ;;
  esac
}

# Takes in one whole word before the cursor.
_pointsman_ipvsadm_word() {
  local word=$1 rest
  if [[ -n $pending ]]; then
    id=$pending takes=$pending_takes pending=
    if [[ $takes == value || $word != -* ]]; then
      _pointsman_ipvsadm_note "$word"
      return
    fi
  fi
  if [[ -z $command ]]; then
    case $word in
      ${verbNames(situations).join(' | ')})
        command=$word alphabet=$word
        return
        ;;
    esac
  fi
  case $word in
    --*=*)
      _pointsman_ipvsadm_switch "$alphabet" "\${word%%=*}" || return 0
      used+="$id "
      _pointsman_ipvsadm_note "\${word#*=}"
      ;;
    --?*)
      _pointsman_ipvsadm_switch "$alphabet" "$word" || return 0
      _pointsman_ipvsadm_given
      ;;
    -?*)
      rest=\${word#-}
      while [[ -n $rest ]]; do
        _pointsman_ipvsadm_switch "$alphabet" "-\${rest:0:1}" || return 0
        rest=\${rest:1}
        if [[ $takes != nothing && -n $rest ]]; then
          used+="$id "
          _pointsman_ipvsadm_note "\${rest#=}"
          return
        fi
        _pointsman_ipvsadm_given
      done
      ;;
    *) used+='WORD ' ;;
  esac
}

# The switch "id" stands without a value so far; the first is the command.
_pointsman_ipvsadm_given() {
  if [[ -z $command ]]; then
    command=--$id
    if [[ $takes != nothing ]]; then pending=' ' pending_takes=$takes; fi
    return
  fi
  used+="$id "
  if [[ $takes != nothing ]]; then pending=$id pending_takes=$takes; fi
}

# For a word like --scheduler=w or -sw: sets "inline" to what stands before the value and "pending" to the switch.
_pointsman_ipvsadm_inline() {
  local word=$1 rest name seen=
  case $word in
    --*=*)
      _pointsman_ipvsadm_switch "$alphabet" "\${word%%=*}" || return 0
      if [[ $takes != nothing ]]; then
        inline=\${word%%=*}= pending=$id pending_takes=value
        if [[ -z $command ]]; then command=--$id pending=' '; fi
      fi
      ;;
    --*) ;;
    -?*)
      rest=\${word#-}
      while [[ -n $rest ]]; do
        name=\${rest:0:1}
        _pointsman_ipvsadm_switch "$alphabet" "-$name" || return 0
        rest=\${rest:1} seen+=$name
        if [[ $takes != nothing ]]; then
          if [[ -n $rest ]]; then inline=-$seen pending=$id pending_takes=value; fi
          return 0
        fi
      done
      ;;
  esac
}

# Prints the table as rules. A program that is missing or that fails is a table without rules.
_pointsman_ipvsadm_rules() {
  case $program in
    pointsman) command pointsman ipvsadm -Sn ;;
    pointsman-ipvsadm) command pointsman-ipvsadm -Sn ;;
    *) command ipvsadm -Sn ;;
  esac < /dev/null 2> /dev/null
}

# Takes a value from outside, if it goes on from what is typed, is made of nothing else than values are, and is not there yet. Fails when
# there are enough.
_pointsman_ipvsadm_take_value() {
  if [[ $1 != "\${cur#"$inline"}"* ]]; then return 0; fi
  case $1 in
    '' | *[!][0-9A-Za-z.:,]*) return 0 ;;
  esac
  if [[ $seen_values == *" $1 "* ]]; then return 0; fi
  seen_values+="$1 "
  values+=("$1")
  ((\${#values[@]} < ${MAX_VALUES}))
}

# Sets "values" to the services of the table that the switch $1 can name.
_pointsman_ipvsadm_services() {
  local rule option value rest wanted count=0 seen_values=' '
  case $1 in
${Object.entries(SERVICE_SPELLINGS)
  .map(([id, spelling]) => `    ${id}) wanted=${spelling} ;;`)
  .join('\n')}
    *) return ;;
  esac
  while ((count++ < ${MAX_RULES_READ})) && read -r rule option value rest; do
    if [[ $rule == -A && $option == "$wanted" ]]; then _pointsman_ipvsadm_take_value "$value" || break; fi
  done < <(_pointsman_ipvsadm_rules)
}

# Sets "values" to the servers of the service on the line, or of all services.
_pointsman_ipvsadm_servers() {
  local rule option value flag server rest family=-r count=0 seen_values=' '
  if [[ $used == *' ipv6 '* ]]; then family=-6; fi
  while ((count++ < ${MAX_RULES_READ})) && read -r rule option value flag server rest; do
    if [[ $rule != -a ]]; then continue; fi
    if [[ -n $virtual_option && ( $option != "$virtual_option" || $value != "$virtual" || $flag != "$family" ) ]]; then
      continue
    fi
    if [[ $flag == -6 ]]; then
      server=\${rest%% *}
    fi
    _pointsman_ipvsadm_take_value "$server" || break
  done < <(_pointsman_ipvsadm_rules)
}

# Sets "values" to the names of the network interfaces.
_pointsman_ipvsadm_interfaces() {
  local entry name
  for entry in /sys/class/net/*; do
    name=\${entry##*/}
    case $name in
      *[!0-9A-Za-z._:@-]*) ;;
      *) values+=("$name") ;;
    esac
  done
}

# From the words in "typed" and the word at the cursor in "cur": sets "candidates" with "descriptions" (switches and commands), or
# "values" (behind "inline"; with commas behind "list"), or "files" to 1.
_pointsman_ipvsadm_complete() {
  local word id takes origin alphabet=${COMMANDS} command= used=' ' scheduler= virtual_option= virtual= pending= pending_takes=
  for word in "\${typed[@]}"; do _pointsman_ipvsadm_word "$word"; done
  if [[ -z $pending || ( $pending_takes == optional && $cur == -* ) ]]; then _pointsman_ipvsadm_inline "$cur"; fi
  if [[ -n $pending && ( $pending_takes == value || -n $inline ) ]]; then
    if [[ $pending == ' ' ]]; then pending=; fi
    _pointsman_ipvsadm_source "$pending"
    case $origin in
      services) _pointsman_ipvsadm_services "$pending" ;;
      servers) _pointsman_ipvsadm_servers ;;
      interfaces) _pointsman_ipvsadm_interfaces ;;
      scheduler-flags)
        _pointsman_ipvsadm_scheduler_flags
        word=\${cur#"$inline"}
        if [[ $word == *,* ]]; then
          list=\${word%,*},
          _pointsman_ipvsadm_new_flags "\${values[@]}"
        fi
        ;;
    esac
    return 0
  fi
  if [[ -z $command ]]; then
    _pointsman_ipvsadm_offer_commands
    return 0
  fi
  if [[ $alphabet != ${COMMANDS} && $cur != -* ]]; then
    _pointsman_ipvsadm_source ''
    if [[ $origin == file ]]; then files=1; fi
    if [[ $used == *' WORD '* ]]; then files= values=(); fi
    if [[ \${#values[@]} -gt 0 || -n $files ]]; then return 0; fi
  fi
  _pointsman_ipvsadm_offer_switches
}
`;
}
