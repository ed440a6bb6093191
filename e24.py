import sys; sys.path.insert(0,'/tmp')
from nbedit import NB
W='/work/main/nbs/'
for n,noise in (('music_lm','weight_noise = 0.0 # standard deviation\n'),('protocol','weight_noise = 0.075 # standard deviation\n')):
    nb=NB(W+f'experiments/{n}.ipynb')
    c=next(c for c in nb.nb['cells'] if 'parameters' in c['metadata'].get('tags',[]))
    s=nb.text(c); assert noise in s
    s=s.replace(noise,'')
    if n=='music_lm': s=s.rstrip('\n')+'\n'+noise.rstrip('\n')
    else: s=s.replace('overwrite = False\n','overwrite = False\n'+noise)
    nb.put(c,s); nb.save()
from pathlib import Path
p=Path('/work/main/tests/test_notebooks.py'); t=p.read_text()
t=t.replace('from gru_study.experiment import ONLY, Experiment, Search','from gru_study.experiment import Experiment, Search').replace('kind.model_fields if k not in left_out and ONLY.get(k, task) == task}','kind.of(dict(task=task)).model_fields if k not in left_out}')
p.write_text(t)
