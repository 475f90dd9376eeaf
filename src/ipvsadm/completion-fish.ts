// The completion script for fish. Pure. Source: fish's documentation, "Writing your own completions" and commandline(1).
// fish has no variables that called functions see, so its tables are functions that print lines. What the user typed and what the table
// holds is only ever compared and printed, never evaluated.

import {
  formatAlphabets,
  formatOffers,
  formatSchedulerFlags,
  formatSources,
  quote,
} from './completion-fish-cases.ts';
import { COMMANDS, completionSituations, SERVICE_SPELLINGS } from './completion-model.ts';
import { MAX_RULES_READ, verbNames } from './completion-sources.ts';

const F = '__pointsman_ipvsadm';
/** Lets through what is made of nothing else than values are, each once. Not a function: in one, `string` does not read a pipe. */
const CLEAN = "| string match --regex '^[][0-9A-Za-z._:,@-]+$' | sort -u";

/** The script, to be sourced, or a file on fish_complete_path. */
export function formatFishCompletion(): string {
  const situations = completionSituations();
  return `# fish completion for ipvsadm, pointsman-ipvsadm and pointsman ipvsadm; made by "pointsman-ipvsadm completion fish".

# Prints name and kind of value of the switch $argv[2] of the alphabet $argv[1].
function ${F}_switch
    switch "$argv[1] $argv[2]"
${formatAlphabets()}
    end
end

# Prints what goes with a command or verb, one switch a line: needed|hiding|spellings|help.
function ${F}_offers
    switch "$argv[1]"
${situations
  .filter(({ offers }) => offers.length > 0)
  .map(formatOffers)
  .join('\n')}
    end
end

function ${F}_commands
${situations.map(({ spellings, help }) => `    printf '%s\\n' ${quote(`||${spellings.join(' ')}|${help}`)}`).join('\n')}
end

# Prints where the values of the switch $argv[2] of the command $argv[1] come from, "words" with the words themselves.
function ${F}_source
    switch "$argv[1] $argv[2]"
${formatSources(situations)}
    end
end

# Prints the flags that go with the scheduler $argv[1].
function ${F}_scheduler_flags
    switch "$argv[1]"
${formatSchedulerFlags()}
    end
end

# Prints how saved rules name services of the switch $argv[1].
function ${F}_spelling
    switch "$argv[1]"
${Object.entries(SERVICE_SPELLINGS)
  .map(([id, spelling]) => `        case ${id}\n            printf '%s\\n' ${spelling}`)
  .join('\n')}
    end
end

# Prints the table as rules, at most ${MAX_RULES_READ} lines. A program that is missing or that fails is a table without rules.
function ${F}_rules
    begin
        switch "$argv[1]"
            case pointsman
                command pointsman ipvsadm -Sn
            case pointsman-ipvsadm
                command pointsman-ipvsadm -Sn
            case '*'
                command ipvsadm -Sn
        end </dev/null 2>/dev/null
    end | head -n ${MAX_RULES_READ}
end

# Prints the services that the switch $argv[2] can name; $argv[1] is the program.
function ${F}_services
    set -l wanted (${F}_spelling "$argv[2]")
    ${F}_rules "$argv[1]" | while read -l -d ' ' rule option value rest
        if test "$rule" = -A; and test "$option" = "$wanted"
            printf '%s\\n' "$value"
        end
    end
end

# Prints the servers; program, option and value of the service ('' = every one), family.
function ${F}_servers
    ${F}_rules "$argv[1]" | while read -l -d ' ' rule option value flag server rest
        test "$rule" = -a; or continue
        if test -n "$argv[2]"
            test "$option" = "$argv[2]"; and test "$value" = "$argv[3]"; and test "$flag" = "$argv[4]"; or continue
        end
        if test "$flag" = -6
            set server (string split -m 1 ' ' -- "$rest")[1]
        end
        printf '%s\\n' "$server"
    end
end

function ${F}
    set -l typed (commandline -opc)
    set -l cur (commandline -ct)
    set -l program (string split -r -m 1 / -- "$typed[1]")[-1]
    set -e typed[1]
    if test "$program" = pointsman
        set -e typed[1]
    end
    set -l alphabet ${COMMANDS}
    set -l command_name
    set -l used
    set -l scheduler
    set -l virtual_option
    set -l virtual
    set -l pending
    set -l pending_takes
    set -l inline
    # The word at the cursor is looked at last: it can hold a switch together with the beginning of its value.
    set -l left (count $typed)
    for word in $typed "$cur"
        set left (math $left - 1)
        set -l id
        set -l value
        set -l has_value 0
        set -l marks
        if test -n "$pending"
            set id $pending
            set -l takes $pending_takes
            if test $left -lt 0
                test "$takes" = value; and break
                string match -q -- '-*' "$word"; or break
            else if test "$takes" = value; or not string match -q -- '-*' "$word"
                set value "$word"
                set has_value 1
            end
            set pending
        end
        if test $has_value -eq 0
            if test -z "$command_name"; and test $left -ge 0; and contains -- "$word" ${verbNames(situations).join(' ')}
                set command_name "$word"
                set alphabet "$word"
                continue
            end
            set -l spellings
            set -l rest
            switch "$word"
                case '--*=*'
                    set spellings (string split -m 1 = -- "$word")[1]
                    set rest (string split -m 1 = -- "$word")[2]
                    set inline "$spellings="
                case '--*'
                    set spellings "$word"
                case '-?*'
                    set spellings -(string split '' -- (string sub -s 2 -- "$word"))
                case '*'
                    set marks WORD
            end
            set -l at 1
            for spelling in $spellings
                set -l found (${F}_switch $alphabet "$spelling")
                set at (math $at + 1)
                test (count $found) -eq 2; or break
                if test -z "$command_name"
                    test $left -lt 0; and test "$found[2]" = nothing; and break
                    set command_name "--$found[1]"
                    set id ' '
                else
                    set id $found[1]
                end
                set -a marks $id
                test "$found[2]" = nothing; and continue
                if not string match -q -- '--*' "$word"
                    set rest (string sub -s (math $at + 1) -- "$word")
                    set inline (string sub -l $at -- "$word")
                end
                if test -n "$rest"; or string match -q -- '--*=*' "$word"
                    set value (string replace -r '^=' '' -- "$rest")
                    set has_value 1
                else
                    set inline
                    set pending $id
                    set pending_takes $found[2]
                end
                break
            end
            if test $left -lt 0
                set pending
                if test $has_value -eq 1
                    set pending $id
                    set pending_takes value
                else
                    set inline
                end
                break
            end
            set inline
            set -a used $marks
        end
        test $has_value -eq 1; or continue
        set -l spelling (${F}_spelling "$id")
        if test -n "$spelling"
            set virtual_option $spelling
            set virtual "$value"
        end
        switch "$id"
            case scheduler
                set scheduler "$value"
            case tun-type
                set -a used "$id=$value"
        end
    end

    if test -n "$pending"; and begin
            test "$pending_takes" = value
            or test -n "$inline"
        end
        set pending (string trim -- $pending)
        set -l source (${F}_source "$command_name" "$pending")
        switch "$source[1]"
            case words
                printf '%s\\n' "$inline"$source[2..-1]
            case services
                set -l values (${F}_services "$program" "$pending" ${CLEAN})
                test -n "$values"; and printf '%s\\n' "$inline"$values
            case servers
                set -l family -r
                contains -- ipv6 $used; and set family -6
                set -l values (${F}_servers "$program" "$virtual_option" "$virtual" $family ${CLEAN})
                test -n "$values"; and printf '%s\\n' "$inline"$values
            case interfaces
                set -l values (string replace /sys/class/net/ '' -- /sys/class/net/* ${CLEAN})
                test -n "$values"; and printf '%s\\n' "$inline"$values
            case scheduler-flags
                set -l given (string match -r '.*,' -- (string sub -s (math 1 + (string length -- "$inline")) -- "$cur"))
                for flag in (${F}_scheduler_flags "$scheduler")
                    contains -- $flag (string split , -- "$given"); or printf '%s\\n' "$inline$given$flag"
                end
        end
        return
    end
    set -l lines
    if test -z "$command_name"
        set lines (${F}_commands)
    else
        if not string match -q -- '-*' "$cur"; and test $alphabet != ${COMMANDS}; and not contains WORD $used
            set -l source (${F}_source "$command_name" '')
            switch "$source[1]"
                case words
                    printf '%s\\n' $source[2..-1]
                    return
                case file
                    __fish_complete_path "$cur"
                    return
            end
        end
        set lines (${F}_offers "$command_name")
    end
    for line in $lines
        set -l fields (string split -m 3 '|' -- $line)
        test -z "$fields[1]"; or contains -- $fields[1] $used; or continue
        set -l hidden 0
        for hiding in (string split -n ' ' -- $fields[2])
            contains -- $hiding $used; and set hidden 1
        end
        test $hidden -eq 0; or continue
        for spelling in (string split ' ' -- $fields[3])
            printf '%s\\t%s\\n' $spelling $fields[4]
        end
    end
end

# True behind "pointsman ipvsadm".
function ${F}_is_called
    set -l typed (commandline -opc)
    test (count $typed) -ge 2; and test "$typed[2]" = ipvsadm
end

complete -c ipvsadm -f -a '(${F})'
complete -c pointsman-ipvsadm -f -a '(${F})'
complete -c pointsman -n ${F}_is_called -f -a '(${F})'
complete -c pointsman -n 'not ${F}_is_called; and string match -q -- "i*" (commandline -ct)' -a ipvsadm
`;
}
