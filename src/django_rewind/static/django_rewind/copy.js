'use strict';
{
    // Without this, a click selects the whole command.
    const copy = (command, button) => {
        navigator.clipboard.writeText(command.textContent).then(() => {
            button.textContent = button.dataset.done;
        });
    };
    document.addEventListener('DOMContentLoaded', () => {
        const words = document.querySelector('.rewind-detail');
        if (!words || !navigator.clipboard) {
            return;
        }
        for (const command of document.querySelectorAll('.rewind-copy')) {
            const button = document.createElement('button');
            button.type = 'button';
            button.className = 'rewind-copy-button';
            button.textContent = words.dataset.copy;
            button.dataset.done = words.dataset.copied;
            button.addEventListener('click', () => copy(command, button));
            command.after(button);
        }
    });
}
