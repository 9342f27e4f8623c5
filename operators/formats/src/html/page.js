'use strict';
const hidden = new Set();
document.getElementById('filters').addEventListener('change', ({ target }) => {
  if (target.checked) hidden.delete(target.value);
  else hidden.add(target.value);
  for (const mark of document.querySelectorAll('mark')) {
    const isOff = [...mark.classList].some((name) => hidden.has(name));
    mark.classList.toggle('off', isOff);
    if (mark.hasAttribute('tabindex')) mark.tabIndex = isOff ? -1 : 0;
  }
});
const tell = ({ target }) => {
  const mark = target.closest && target.closest('mark:not(.off)');
  document.getElementById('told').textContent = mark ? mark.title : '';
};
document.addEventListener('focusin', tell);
document.addEventListener('mouseover', tell);
