"""Words that orders to a model are made of, by what they do in one: each stands for its class.

A word of a class is written in full, or as its first five letters, which then stand for all its forms. None
of them is bad by itself; what counts is which stand together, and that is learnt.
"""

from __future__ import annotations

_WORDS = """
drop: ignor disre forge overl skip bypas overr cance disca negle omit dismi eschew drop void ignoriere
    olvid oubli verge
before: previ prior above earli prece forme past befor until initi origi exist vorhe anter bishe
all: all any every each whole entir compl total everything anything whatever alle todas toutes
order: instr direc guide rule rules order comma polic restr const limit promp regul requi oblig anwei regel
    reglas consi
model: ai llm gpt chatgpt model assis chatb bot langu openai claude gemini llama bard copil agent
you: you your youre yours yourself u ya du dein sie ihr tu tus vous votre
me: me my i user human mine us our we
hidden: syste hidde secre confi inter priva devel sensi conte backe
treasure: passw crede token key keys apikey secret secrets ssn cookies pin datab email emails accou env ssh
    id_rsa login confi
tell: tell say print outpu revea show displ repea write echo respo reply answe retur expos leak disclo
    share divul state quote dump emit
send: send post forwa uploa submi trans email mail exfil fetch curl wget reque downl visit navig click
    open http https url webho deliv
do: execu run invok call perfo delet remov modif chang creat trans pay purch trigg insta
be: act preten imagi behav simul emula roleplay role imper embod perso chara becom portr play
now: now henceforth onwar start begin inste hereb immed first next whene always never must shall only
    from
free: unres uncen unfil unlim unbou free freed freely libera jailb dan mode enabl unloc witho amora uneth
    immor illeg moral ethic legal
refuse: refus decli apolo sorry cannot cant wont unable warni discl avoid
important: impor urgen atten criti notic note immediately warning update admin admini autho offic
reader: reade summa trans revie parse scree scann recru email docum page websi tool agent
stop: stop end abort halt termi pause quit
mark: begin end syste user assis instruction inst im_start im_end endoftext human sys
include: inclu inser add appen embed inject place prefix suffix
code: code codeb snipp scrip block funct progr
not: not no dont never without nor neither nobody none nothing nicht kein pas
know: menti notif infor tell ask warn alert know aware noticed suspe quiet silen secretly
"""
CLASSES: dict[str, tuple[str, ...]] = {
    line.split(":")[0].strip(): tuple(line.split(":")[1].split())
    for line in _WORDS.replace("\n    ", " ").strip().split("\n")
}
